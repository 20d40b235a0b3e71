/* kiln sandbox: the bare sandbox around one command.
 *
 * Without a root given, the command sees the host's own files read-only, with empty /tmp, /var/tmp, /run,
 * /home and /root. Must never offer less isolation than a build has, but for what an option names. */
#include "sandbox/sandbox.h"
#include "worker/base/json.h"
#include "worker/base/mem.h"
#include "worker/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct options {
        const char *root, *upper, *work, *cwd, *profile, *idmode, *hostname, *domain, *release, *cgroup;
        char **lower, **bind, **ro_bind, **tmpfs, **writable, **env;
        uint64_t uid, gid, cpus;
        uint64_t wall, silence, cpu, memory, pids, output, file, disk;
        bool no_sys, terminal, policy, net, nested, hard;
};

#define ID_MAX 65534

static const struct kiln_option options[] = {
        {"root", 0, KILN_OPTION_STRING, offsetof(struct options, root), "DIR", NULL, 0,
                "use DIR as the root, writable (default: the host's own files, read-only)"},
        {"lower", 0, KILN_OPTION_STRINGS, offsetof(struct options, lower), "DIR", NULL, 0,
                "make the root an overlay of these directories, the topmost first"},
        {"upper", 0, KILN_OPTION_STRING, offsetof(struct options, upper), "DIR", NULL, 0,
                "where the overlay's changes go (default: it is read-only)"},
        {"work", 0, KILN_OPTION_STRING, offsetof(struct options, work), "DIR", NULL, 0,
                "an empty directory on the same file system as --upper"},
        {"ro-bind", 0, KILN_OPTION_STRINGS, offsetof(struct options, ro_bind), "SOURCE[:TARGET]", NULL, 0,
                "show a file or directory read-only"},
        {"bind", 0, KILN_OPTION_STRINGS, offsetof(struct options, bind), "SOURCE[:TARGET]", NULL, 0,
                "show a file or directory, writable"},
        {"tmpfs", 0, KILN_OPTION_STRINGS, offsetof(struct options, tmpfs), "TARGET", NULL, 0,
                "an empty directory in memory"},
        {"writable", 0, KILN_OPTION_STRINGS, offsetof(struct options, writable), "DIR", NULL, 0,
                "a directory of the root that the unprivileged command may change"},
        {"no-sys", 0, KILN_OPTION_FLAG, offsetof(struct options, no_sys), NULL, NULL, 0, "no /sys"},
        {"uid", 0, KILN_OPTION_NUMBER, offsetof(struct options, uid), "N", NULL, ID_MAX,
                "the command's user id (default 1000, alone in a user namespace; 0: root inside)"},
        {"gid", 0, KILN_OPTION_NUMBER, offsetof(struct options, gid), "N", NULL, ID_MAX,
                "its group id (default: as --uid)"},
        {"cwd", 0, KILN_OPTION_STRING, offsetof(struct options, cwd), "DIR", NULL, 0,
                "its working directory (default /)"},
        {"env", 0, KILN_OPTION_STRINGS, offsetof(struct options, env), "NAME=VALUE", NULL, 0,
                "add to its environment, which otherwise is PATH, HOME, LANG and TZ"},
        {"terminal", 0, KILN_OPTION_FLAG, offsetof(struct options, terminal), NULL, NULL, 0,
                "give it this terminal"},
        {"profile", 0, KILN_OPTION_CHOICE, offsetof(struct options, profile), "PROFILE",
                "install build check", 0, "which system calls are allowed (default build)"},
        {"policy", 0, KILN_OPTION_FLAG, offsetof(struct options, policy), NULL, NULL, 0,
                "print the profile's policy and end"},
        {"idmode", 0, KILN_OPTION_CHOICE, offsetof(struct options, idmode), "MODE", "auto range single", 0,
                "map a range of ids or only one (default auto: a range when there is one)"},
        {"net", 0, KILN_OPTION_FLAG, offsetof(struct options, net), NULL, NULL, 0, "use the host's network"},
        {"nested", 0, KILN_OPTION_FLAG, offsetof(struct options, nested), NULL, NULL, 0,
                "leave /proc uncovered, so that containers inside can mount their own"},
        {"hostname", 0, KILN_OPTION_STRING, offsetof(struct options, hostname), "NAME", NULL, 0,
                "the host name inside (default localhost)"},
        {"domain", 0, KILN_OPTION_STRING, offsetof(struct options, domain), "NAME", NULL, 0,
                "the domain name inside (default localdomain)"},
        {"release", 0, KILN_OPTION_STRING, offsetof(struct options, release), "RELEASE", NULL, 0,
                "the kernel release uname tells (default: the host's)"},
        {"cpus", 0, KILN_OPTION_NUMBER, offsetof(struct options, cpus), "N", NULL, 4096,
                "the number of processors (default: the host's)"},
        {"wall", 0, KILN_OPTION_DURATION, offsetof(struct options, wall), "TIME", NULL, 1u << 30,
                "longest run"},
        {"silence", 0, KILN_OPTION_DURATION, offsetof(struct options, silence), "TIME", NULL, 1u << 30,
                "longest time without output"},
        {"cpu", 0, KILN_OPTION_DURATION, offsetof(struct options, cpu), "TIME", NULL, 1u << 30,
                "processor time of each process, and of all together in a cgroup"},
        {"memory", 0, KILN_OPTION_SIZE, offsetof(struct options, memory), "SIZE", NULL, UINT64_C(1) << 62,
                "memory of all together (needs a delegated cgroup)"},
        {"pids", 0, KILN_OPTION_NUMBER, offsetof(struct options, pids), "N", NULL, 1u << 22, "processes"},
        {"output", 0, KILN_OPTION_SIZE, offsetof(struct options, output), "SIZE", NULL, UINT64_C(1) << 62,
                "what it may print"},
        {"file", 0, KILN_OPTION_SIZE, offsetof(struct options, file), "SIZE", NULL, UINT64_C(1) << 62,
                "largest file"},
        {"disk", 0, KILN_OPTION_SIZE, offsetof(struct options, disk), "SIZE", NULL, UINT64_C(1) << 62,
                "disk space below --upper or --root"},
        {"hard", 0, KILN_OPTION_FLAG, offsetof(struct options, hard), NULL, NULL, 0,
                "refuse when --memory or --pids cannot be enforced"},
        {"cgroup", 0, KILN_OPTION_STRING, offsetof(struct options, cgroup), "DIR", NULL, 0,
                "a delegated cgroup v2 directory (default: found)"},
        {NULL},
};

struct request {
        struct kiln_sandbox s;
        int *fds; /* everything opened, closed at the end */
        size_t n_fds;
        int *lowers;
        size_t n_lowers;
        struct kiln_sandbox_mount *mounts;
        size_t n_mounts;
        char **texts; /* the mounts' targets */
        const char **env;
        size_t n_env;
};

static void request_clear(struct request *r)
{
        for (size_t i = 0; i < r->n_fds; i++)
                close(r->fds[i]);
        free(r->fds);
        free(r->lowers);
        free(r->mounts);
        free(r->env);
        kiln_strv_free(r->texts);
}

static void options_clear(struct options *o)
{
        kiln_strv_free(o->lower);
        kiln_strv_free(o->bind);
        kiln_strv_free(o->ro_bind);
        kiln_strv_free(o->tmpfs);
        kiln_strv_free(o->writable);
        kiln_strv_free(o->env);
}

/* A descriptor the request owns, or negative errno with *err. */
static int request_open(struct request *r, const char *path, int flags, struct kiln_error *err)
{
        int fd = open(path, O_PATH | flags | O_CLOEXEC);

        if (fd < 0)
                return kiln_error_set(
                        err, KILN_BAD_INPUT, errno, "opening", path, "it cannot be shown inside");
        *KILN_APPEND(r->fds, r->n_fds) = fd;
        return fd;
}

static struct kiln_sandbox_mount *mount_add(struct request *r, enum kiln_mount_kind kind, const char *target)
{
        kiln_strv_append(&r->texts, target);
        struct kiln_sandbox_mount *m = KILN_APPEND(r->mounts, r->n_mounts);
        m->kind = kind;
        m->target = r->texts[r->n_mounts - 1]; /* the string itself does not move when the vector grows */
        m->source_fd = -1;
        m->mode = 01777;
        return m;
}

static int binds_add(
        struct request *r, enum kiln_mount_kind kind, char *const *values, struct kiln_error *err)
{
        for (; values && *values; values++) {
                const char *colon = strrchr(*values, ':');
                _cleanup_free_ char *source =
                        colon ? kiln_strndup(*values, (size_t)(colon - *values)) : kiln_strdup(*values);
                int fd = request_open(r, source, 0, err);

                if (fd < 0)
                        return fd;
                mount_add(r, kind, colon ? colon + 1 : source)->source_fd = fd;
        }
        return 0;
}

/* The host's own root: read-only, without the places where services have their sockets and people their
 * files. */
static int host_root(struct request *r, struct kiln_error *err)
{
        static const struct {
                const char *path;
                mode_t mode;
        } hidden[] = {{"/tmp", 01777}, {"/var/tmp", 01777}, {"/run", 0755}, {"/home", 0755}, {"/root", 0755}};
        struct stat st;

        r->s.upper_fd = request_open(r, "/", O_DIRECTORY, err);
        if (r->s.upper_fd < 0)
                return r->s.upper_fd;
        r->s.root_read_only = true;
        for (size_t i = 0; i < KILN_ARRAY_SIZE(hidden); i++)
                if (lstat(hidden[i].path, &st) == 0 && S_ISDIR(st.st_mode))
                        mount_add(r, KILN_MOUNT_TMPFS, hidden[i].path)->mode = hidden[i].mode;
        return 0;
}

static int root_set(struct request *r, const struct options *o, struct kiln_error *err)
{
        int n;

        if (!o->root && !o->lower)
                return host_root(r, err);
        if (o->root) {
                n = r->s.upper_fd = request_open(r, o->root, O_DIRECTORY, err);
                return n < 0 ? n : 0;
        }
        for (char *const *lower = o->lower; *lower; lower++) {
                int fd = request_open(r, *lower, O_DIRECTORY, err);
                if (fd < 0)
                        return fd;
                *KILN_APPEND(r->lowers, r->n_lowers) = fd;
        }
        if (o->upper && (r->s.upper_fd = request_open(r, o->upper, O_DIRECTORY, err)) < 0)
                return r->s.upper_fd;
        if (o->work && (r->s.work_fd = request_open(r, o->work, O_DIRECTORY, err)) < 0)
                return r->s.work_fd;
        r->s.lower_fds = r->lowers;
        r->s.n_lower_fds = r->n_lowers;
        return 0;
}

static void env_set(struct request *r, char *const *given)
{
        static const char *const defaults[] = {
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "LANG=C.UTF-8",
                "TZ=UTC"};

        for (size_t i = 0; i < KILN_ARRAY_SIZE(defaults); i++) {
                char *const *e = given;

                while (e && *e && strncmp(*e, defaults[i], strcspn(defaults[i], "=") + 1) != 0)
                        e++;
                if (!e || !*e)
                        *KILN_APPEND(r->env, r->n_env) = defaults[i];
        }
        for (; given && *given; given++)
                *KILN_APPEND(r->env, r->n_env) = *given;
        *KILN_APPEND(r->env, r->n_env) = NULL;
        r->s.env = r->env;
}

static enum kiln_profile profile_of(const char *name)
{
        enum kiln_profile p = KILN_PROFILE_INSTALL;

        while (strcmp(kiln_profile_name(p), name) != 0)
                p++;
        return p;
}

static enum kiln_id_mode id_mode_of(const char *name)
{
        enum kiln_id_mode m = KILN_ID_AUTO;

        while (strcmp(kiln_id_mode_name(m), name) != 0)
                m++;
        return m;
}

static int request_fill(struct request *r, const struct options *o, char **argv, struct kiln_error *err)
{
        int n;

        kiln_sandbox_init(&r->s);
        r->s.uid = (uid_t)o->uid;
        r->s.gid = o->gid == UINT64_MAX ? (gid_t)o->uid : (gid_t)o->gid;
        r->s.cwd = o->cwd;
        r->s.hostname = o->hostname;
        r->s.domain = o->domain;
        r->s.kernel_release = o->release;
        r->s.cgroup = o->cgroup;
        r->s.cpus = (unsigned)o->cpus;
        r->s.sys_none = o->no_sys;
        r->s.terminal = o->terminal;
        r->s.host_network = o->net;
        r->s.nested_mounts = o->nested;
        r->s.profile = profile_of(o->profile);
        r->s.limits = (struct kiln_sandbox_limits){.wall_s = o->wall,
                .silence_s = o->silence,
                .cpu_s = o->cpu,
                .memory_bytes = o->memory,
                .pids = o->pids,
                .output_bytes = o->output,
                .file_bytes = o->file,
                .disk_bytes = o->disk,
                .hard = o->hard};
        r->s.argv = (const char *const *)argv;
        r->s.split_stderr = true; /* so that kiln sandbox can stand in a pipeline */
        env_set(r, o->env);
        if ((n = root_set(r, o, err)) < 0)
                return n;
        for (char *const *t = o->tmpfs; t && *t; t++)
                mount_add(r, KILN_MOUNT_TMPFS, *t);
        if ((n = binds_add(r, KILN_MOUNT_BIND_RO, o->ro_bind, err)) < 0 ||
                (n = binds_add(r, KILN_MOUNT_BIND_RW, o->bind, err)) < 0)
                return n;
        r->s.mounts = r->mounts;
        r->s.n_mounts = r->n_mounts;
        r->s.writable = (const char *const *)o->writable;
        return 0;
}

static void result_print(const struct kiln_sandbox_result *result)
{
        static const char *const hows[] = {"exited", "signaled", "limited", "cancelled"};
        _cleanup_json_ json_t *j = json_pack("{s:s, s:i, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "how",
                hows[result->how], "status", result->status, "idMode", kiln_id_mode_name(result->id_mode),
                "cgroup", result->cgroup, "wallNs", (json_int_t)result->wall_ns, "userNs",
                (json_int_t)result->user_ns, "systemNs", (json_int_t)result->system_ns, "outputBytes",
                (json_int_t)result->output_bytes, "peakRssBytes", (json_int_t)result->peak_rss_bytes,
                "peakMemoryBytes", (json_int_t)result->peak_memory_bytes, "peakPids",
                (json_int_t)result->peak_pids);
        _cleanup_buf_ struct kiln_buf out = KILN_BUF_INIT;
        json_t *denied = json_object();

        if (result->how == KILN_SANDBOX_LIMITED)
                json_object_set_new(j, "limit",
                        json_pack("{s:s, s:I, s:I, s:b}", "name", kiln_sandbox_limit_name(result->limit),
                                "value", (json_int_t)result->limit_value, "peak",
                                (json_int_t)result->limit_peak, "guessed", result->limit_guessed));
        for (size_t i = 0; i < result->n_denied; i++)
                json_object_set_new(
                        denied, result->denied[i].name, json_integer((json_int_t)result->denied[i].count));
        json_object_set_new(j, "denied", denied);
        kiln_json_canonical(j, &out);
        fprintf(stderr, "%s\n", kiln_buf_str(&out));
}

static int result_status(
        const struct kiln_context *c, const struct kiln_sandbox_result *result, const char *command)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        const char *unit = kiln_sandbox_limit_unit(result->limit);

        switch (result->how) {
        case KILN_SANDBOX_EXITED:
                return result->status;
        case KILN_SANDBOX_SIGNALED:
                return 128 + result->status;
        case KILN_SANDBOX_CANCELLED:
                return KILN_CANCELLED;
        case KILN_SANDBOX_LIMITED:
                kiln_error_set(&err, KILN_LIMIT, 0, "running", command,
                        "%s limit of %llu%s reached (peak %llu%s)%s", kiln_sandbox_limit_name(result->limit),
                        (unsigned long long)result->limit_value, unit, (unsigned long long)result->limit_peak,
                        unit,
                        result->limit_guessed ? "; a guess: it was killed, and no cgroup says why" : "");
                return kiln_cli_fail(c, &err);
        }
        return KILN_INFRA;
}

/* A failure of the sandbox in the program's own terms. */
static int sandbox_fail(
        const struct kiln_context *c, const struct kiln_sandbox_error *from, const char *command)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        bool request = strcmp(from->step, "request") == 0;

        kiln_error_set(&err,
                request         ? KILN_USAGE
                : from->refused ? KILN_REFUSED
                                : KILN_INFRA,
                0, "starting", command, "%s", from->message);
        if (from->advice[0])
                kiln_error_advise(&err, "%s", from->advice);
        if (from->errnum == ECANCELED)
                return KILN_CANCELLED;
        int status = kiln_cli_fail(c, &err);
        if (strcmp(from->step, "execute") == 0)
                return from->errnum == ENOENT ? 127 : 126; /* as shells and env(1) say it */
        return status;
}

static int run(struct kiln_context *c, int argc, char **argv)
{
        return kiln_cmd_sandbox(c, argc, argv);
}

const struct kiln_command kiln_command_sandbox = {
        .name = "sandbox",
        .summary = "run one command in the sandbox",
        .arguments = "COMMAND [ARGUMENT...]",
        .min_arguments = 0,
        .max_arguments = KILN_ARGUMENTS_ANY,
        .description =
                "Runs COMMAND in the sandbox that builds run in: namespaces, its own /dev and /proc, no "
                "network, no capabilities, a list of allowed system calls. Needs no root.\n"
                "\n"
                "Without --root or --lower the command sees the host's files read-only, with empty /tmp, "
                "/var/tmp, /run, /home and /root.\n"
                "\n"
                "The exit status is the command's, 128 + N when signal N killed it, 126 or 127 when it could "
                "not be executed. With --json, how it ended is printed on standard error.",
        .options = options,
        .common = KILN_COMMON_JSON,
        .program = true,
        .run = run,
};

int kiln_cmd_sandbox(struct kiln_context *c, int argc, char **argv)
{
        _cleanup_(request_clear) struct request r = {0};
        _cleanup_(options_clear) struct options o = {
                .uid = 1000, .gid = UINT64_MAX, .profile = "build", .idmode = "auto"};
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        struct kiln_sandbox_error sandbox_err = {0};
        struct kiln_sandbox_result result;
        int n = kiln_options_parse(c, &kiln_command_sandbox, &o, &argc, argv);

        if (n != 0)
                return kiln_options_status(n);
        if (o.policy) {
                fputs(kiln_profile_text(profile_of(o.profile)), stdout);
                return KILN_OK;
        }
        if (argc == 0)
                return kiln_options_complain(&kiln_command_sandbox, "a command to run is missing");
        if (o.root && (o.lower || o.upper))
                return kiln_options_complain(
                        &kiln_command_sandbox, "--root and an overlay exclude each other");
        if (request_fill(&r, &o, argv, &err) < 0)
                return kiln_cli_fail(c, &err);
        r.s.cancel_fd = c->cancel_fd;
        kiln_cli_release_terminal(c);
        n = kiln_idmap_find(id_mode_of(o.idmode), &r.s.idmap, &sandbox_err);
        if (n == 0)
                n = kiln_sandbox_run(&r.s, &result, &sandbox_err);
        if (n < 0)
                return sandbox_fail(c, &sandbox_err, argv[0]);
        if (kiln_cli_json(c))
                result_print(&result);
        return result_status(c, &result, argv[0]);
}
