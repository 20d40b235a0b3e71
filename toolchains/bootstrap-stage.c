/* One Debian package as a tree the way Fedora lays it out: unpacked, /usr merged, sbin in bin, what nobody
 * needs dropped, links made. Everything is done through directory descriptors without following links. */
#include "toolchains/bootstrap.h"

#include "worker/base/file.h"
#include "worker/base/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int open_dir(int at, const char *name)
{
        int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

static bool is_dir(int at, const char *name)
{
        struct stat st;

        return fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* The names in a directory, sorted; the caller's. */
static char **names_of(int fd)
{
        int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = copy >= 0 ? fdopendir(copy) : NULL;
        struct dirent *e;
        char **names = NULL;

        while (d && (e = readdir(d)))
                if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
                        kiln_strv_append(&names, e->d_name);
        if (d)
                closedir(d);
        if (names)
                qsort(names, kiln_strv_length(names), sizeof(*names), kiln_strcmp_ptr);
        return names;
}

/* Moves what is in from/ into to/; what is in to/ already stays. */
static int merge(int from, int to)
{
        _cleanup_strv_ char **names = names_of(from);

        for (size_t i = 0; i < kiln_strv_length(names); i++) {
                struct stat st;

                if (fstatat(to, names[i], &st, AT_SYMLINK_NOFOLLOW) < 0) {
                        if (errno != ENOENT || renameat(from, names[i], to, names[i]) < 0)
                                return -errno;
                } else if (S_ISDIR(st.st_mode) && is_dir(from, names[i])) {
                        _cleanup_close_ int f = open_dir(from, names[i]), t = open_dir(to, names[i]);
                        int r = f < 0 ? f : t < 0 ? t : merge(f, t);

                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

/* A directory of ours: mode 0755 whatever the umask is. */
static int make_dir(int parent, const char *name)
{
        if (mkdirat(parent, name, 0755) < 0)
                return errno == EEXIST ? 0 : -errno;
        return fchmodat(parent, name, 0755, 0) < 0 ? -errno : 0;
}

/* parent/name -> target_parent/target, made when it is missing; name is gone afterwards. */
static int move_dir(int parent, const char *name, int target_parent, const char *target)
{
        _cleanup_close_ int from = -1, to = -1;
        int r;

        if (!is_dir(parent, name))
                return 0;
        r = make_dir(target_parent, target);
        if (r < 0)
                return r;
        from = open_dir(parent, name);
        to = open_dir(target_parent, target);
        r = from < 0 ? from : to < 0 ? to : merge(from, to);
        return r < 0 ? r : kiln_tree_remove(parent, name);
}

static int merge_usr(int root, struct stage *s)
{
        static const char *const tops[] = {"bin", "sbin", "lib", "lib32", "lib64", "libx32"};
        _cleanup_close_ int usr = -1;
        int r = make_dir(root, "usr");

        if (r < 0)
                return r;
        usr = open_dir(root, "usr");
        if (usr < 0)
                return usr;
        for (size_t i = 0; r == 0 && i < KILN_ARRAY_SIZE(tops); i++)
                r = move_dir(root, tops[i], usr, tops[i]);
        if (r == 0 && is_dir(usr, "sbin")) {
                _cleanup_close_ int sbin = open_dir(usr, "sbin");

                s->sbin = names_of(sbin);
                r = move_dir(usr, "sbin", usr, "bin");
        }
        return r;
}

/* A link's target with a '*' is the last match in the link's own directory. */
static char *link_target(int dir, const char *pattern)
{
        _cleanup_strv_ char **names = NULL;
        char *found = NULL;

        if (!strchr(pattern, '*'))
                return kiln_strdup(pattern);
        names = names_of(dir);
        for (size_t i = 0; i < kiln_strv_length(names); i++)
                if (fnmatch(pattern, names[i], 0) == 0) {
                        free(found);
                        found = kiln_strdup(names[i]);
                }
        return found;
}

/* The directory a path below root lies in, with the directories that are missing; a descriptor. */
static int open_parent(const char *root, const char *path)
{
        _cleanup_free_ char *copy = kiln_strndup(path, (size_t)(kiln_path_base(path) - path));
        _cleanup_close_ int fd = open_dir(AT_FDCWD, root);
        char *save = NULL;

        for (char *name = strtok_r(copy, "/", &save); fd >= 0 && name; name = strtok_r(NULL, "/", &save)) {
                int below, r = make_dir(fd, name);

                if (r < 0)
                        return r;
                below = open_dir(fd, name);
                close(fd);
                fd = below;
        }
        return TAKE_FD(fd);
}

static int make_links(struct bootstrap *b, const struct deb *d, const char *root, struct kiln_error *err)
{
        const struct kiln_toml *row = kiln_toml_get(b->t.links, d->name);

        for (size_t i = 0; row && i < row->n_children; i++) {
                const struct kiln_toml *l = &row->children[i];
                const char *base = l->key ? kiln_path_base(l->key) : "";
                _cleanup_free_ char *target = NULL;
                _cleanup_close_ int fd = -1;

                if (l->kind != KILN_TOML_STRING || l->key[0] != '/' || strstr(l->key, ".."))
                        return kiln_toml_error(b->t.path, l, err, "a link is \"/path\" = \"target\"");
                fd = open_parent(root, l->key);
                if (fd < 0)
                        return kiln_error_set(
                                err, KILN_INFRA, -fd, BOOTSTRAP_DOING, l->key, "cannot make its directory");
                target = link_target(fd, l->string);
                if (!target)
                        return kiln_toml_error(
                                b->t.path, l, err, "%s has nothing that matches '%s'", d->file, l->string);
                if (symlinkat(target, fd, base) < 0 && errno != EEXIST)
                        return kiln_error_set(
                                err, KILN_INFRA, errno, BOOTSTRAP_DOING, l->key, "cannot make the link");
        }
        return 0;
}

static bool is_dropped(const struct bootstrap *b, const struct deb *d, const char *path)
{
        const struct kiln_toml *row = kiln_toml_get(b->t.drop_from, d->name);

        for (size_t i = 0; row && i < row->n_children; i++)
                if (row->children[i].string && fnmatch(row->children[i].string, path, 0) == 0)
                        return true;
        for (size_t i = 0; i < kiln_strv_length(b->t.drop); i++) {
                const char *p = b->t.drop[i];

                if (fnmatch(p + (p[0] == '!'), path, 0) == 0)
                        return p[0] != '!';
        }
        return false;
}

/* Lists what stays and removes what does not. *ret_kept: entries below this directory that stay. Directories
 * that were emptied by that go too; those that were empty from the start stay. */
static int walk(
        struct bootstrap *b, const struct deb *d, int fd, const char *path, struct stage *s, size_t *ret_kept)
{
        _cleanup_strv_ char **names = names_of(fd);
        size_t kept = 0;

        for (size_t i = 0; i < kiln_strv_length(names); i++) {
                _cleanup_free_ char *below = kiln_asprintf("%s/%s", path, names[i]);
                struct stat st;

                if (fstatat(fd, names[i], &st, AT_SYMLINK_NOFOLLOW) < 0)
                        return -errno;
                if (S_ISDIR(st.st_mode)) {
                        _cleanup_close_ int sub = open_dir(fd, names[i]);
                        size_t inside = 0, before = s->n_entries;
                        bool was_empty;
                        int r;

                        if (sub < 0)
                                return sub;
                        _cleanup_strv_ char **content = names_of(sub);

                        was_empty = kiln_strv_length(content) == 0;
                        *KILN_APPEND(s->entries, s->n_entries) =
                                (struct entry){kiln_strdup(below), st.st_mode, false};
                        r = walk(b, d, sub, below, s, &inside);
                        if (r < 0)
                                return r;
                        if (inside == 0 && (!was_empty || is_dropped(b, d, below))) {
                                free(s->entries[before].path);
                                s->n_entries = before;
                                if (unlinkat(fd, names[i], AT_REMOVEDIR) < 0)
                                        return -errno;
                                continue;
                        }
                        kept++;
                } else if (is_dropped(b, d, below) || (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))) {
                        if (unlinkat(fd, names[i], 0) < 0)
                                return -errno;
                } else {
                        *KILN_APPEND(s->entries, s->n_entries) =
                                (struct entry){kiln_strdup(below), st.st_mode, false};
                        kept++;
                }
        }
        *ret_kept = kept;
        return 0;
}

/* Directories' and new links' times are ours; only what came out of the archive unchanged keeps its own. */
static int set_times(const struct deb *d, const struct stage *s, int root)
{
        const struct timespec times[2] = {{.tv_sec = d->epoch_s}, {.tv_sec = d->epoch_s}};

        for (size_t i = 0; i < s->n_entries; i++)
                if (!S_ISREG(s->entries[i].mode) &&
                        utimensat(root, s->entries[i].path + 1, times, AT_SYMLINK_NOFOLLOW) < 0)
                        return -errno;
        return 0;
}

static int entry_compare(const void *x, const void *y)
{
        return strcmp(((const struct entry *)x)->path, ((const struct entry *)y)->path);
}

static void mark_config(struct stage *s, struct kiln_buf *conffiles)
{
        char *save = NULL;

        for (char *line = conffiles->data ? strtok_r(conffiles->data, "\n", &save) : NULL; line;
                line = strtok_r(NULL, "\n", &save)) {
                struct entry key = {.path = line}, *e;

                e = s->n_entries ? bsearch(&key, s->entries, s->n_entries, sizeof(key), entry_compare) : NULL;
                if (e && S_ISREG(e->mode))
                        e->config = true;
        }
}

void bootstrap_stage_clear(struct stage *s)
{
        for (size_t i = 0; i < s->n_entries; i++)
                free(s->entries[i].path);
        free(s->entries);
        free(s->root);
        kiln_strv_free(s->sbin);
        *s = (struct stage){0};
}

int bootstrap_stage(struct bootstrap *b, const struct deb *d, struct stage *s, struct kiln_error *err)
{
        _cleanup_free_ char *deb = kiln_path_join(b->debs_dir, d->file);
        const char *const extract[] = {"dpkg-deb", "-x", deb, s->root, NULL};
        const char *const conf[] = {"dpkg-deb", "-I", deb, "conffiles", NULL};
        struct kiln_process p = {.argv = conf, .cwd_fd = -1, .stdin_fd = -1};
        _cleanup_buf_ struct kiln_buf conffiles = KILN_BUF_INIT;
        _cleanup_close_ int root = -1;
        size_t kept;
        int r = bootstrap_host_run(b, extract, NULL, NULL, err);

        if (r < 0)
                return r;
        r = kiln_process_run(b->c, &p, &conffiles, NULL); /* fails when the package has none */
        if (r != 0)
                kiln_buf_reset(&conffiles);
        root = open_dir(AT_FDCWD, s->root);
        if (root < 0)
                return kiln_error_set(err, KILN_INFRA, -root, BOOTSTRAP_DOING, s->root, "cannot open it");
        r = merge_usr(root, s);
        if (r < 0)
                return kiln_error_set(err, KILN_INFRA, -r, BOOTSTRAP_DOING, d->name, "cannot merge /usr");
        r = make_links(b, d, s->root, err);
        if (r < 0)
                return r;
        r = walk(b, d, root, "", s, &kept);
        if (r == 0)
                r = set_times(d, s, root);
        if (r < 0)
                return kiln_error_set(err, KILN_INFRA, -r, BOOTSTRAP_DOING, d->name, "cannot list its files");
        qsort(s->entries, s->n_entries, sizeof(*s->entries), entry_compare);
        mark_config(s, &conffiles);
        return 0;
}
