/* The lock in memory and its canonical JSON. Parsing is strict: unknown or missing keys, unsorted or repeated
 * entries and malformed digests are refused, so that one lock has exactly one text.
 *
 * Must never touch the network or the store: a lock is only bytes. */
#include "worker/buildroot/lock.h"

#include "worker/base/json.h"
#include "worker/base/mem.h"
#include "worker/base/number.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The largest lock seen has under 2,000 packages at about 600 bytes each. */
#define LOCK_BYTES_MAX (64u << 20)
#define LOCK_PACKAGES_MAX 100000

static const char *const layer_names[] = {
        [KILN_LOCK_BOOTSTRAP] = "BOOTSTRAP",
        [KILN_LOCK_BASE] = "BASE",
        [KILN_LOCK_DELTA] = "DELTA",
};

struct kiln_lock *kiln_lock_new(void)
{
        struct kiln_lock *l = kiln_calloc(1, sizeof(*l));

        l->toolchain = kiln_strdup("");
        l->arch = kiln_strdup("");
        return l;
}

void kiln_locked_package_clear(struct kiln_locked_package *p)
{
        free(p->name);
        free(p->version);
        free(p->release);
        free(p->arch);
        free(p->epoch);
        free(p->nevra);
        free(p->repository);
        free(p->location);
        free(p->signer);
        free(p->license);
        free(p->source_rpm);
        memset(p, 0, sizeof(*p));
}

void kiln_lock_free(struct kiln_lock *l)
{
        if (!l)
                return;
        for (size_t i = 0; i < l->n_packages; i++)
                kiln_locked_package_clear(&l->packages[i]);
        for (size_t i = 0; i < l->n_repositories; i++) {
                free(l->repositories[i].id);
                free(l->repositories[i].base_url);
        }
        free(l->packages);
        free(l->repositories);
        free(l->toolchain);
        free(l->arch);
        free(l);
}

static char *dup_or_empty(const char *s)
{
        return kiln_strdup(s ? s : "");
}

static void package_copy(struct kiln_locked_package *to, const struct kiln_locked_package *from)
{
        *to = (struct kiln_locked_package){
                .name = dup_or_empty(from->name),
                .version = dup_or_empty(from->version),
                .release = dup_or_empty(from->release),
                .arch = dup_or_empty(from->arch),
                .epoch = dup_or_empty(from->epoch),
                .nevra = dup_or_empty(from->nevra),
                .sha256 = from->sha256,
                .header_sha256 = from->header_sha256,
                .size_bytes = from->size_bytes,
                .repository = dup_or_empty(from->repository),
                .location = dup_or_empty(from->location),
                .signer = dup_or_empty(from->signer),
                .license = dup_or_empty(from->license),
                .source_rpm = dup_or_empty(from->source_rpm),
                .layer = from->layer,
        };
}

struct kiln_lock *kiln_lock_copy(const struct kiln_lock *l)
{
        struct kiln_lock *copy = kiln_calloc(1, sizeof(*copy));

        copy->toolchain = dup_or_empty(l->toolchain);
        copy->toolchain_digest = l->toolchain_digest;
        copy->arch = dup_or_empty(l->arch);
        copy->full = l->full;
        for (size_t i = 0; i < l->n_repositories; i++) {
                struct kiln_locked_repository *r = KILN_APPEND(copy->repositories, copy->n_repositories);

                r->id = dup_or_empty(l->repositories[i].id);
                r->base_url = dup_or_empty(l->repositories[i].base_url);
                r->repomd_sha256 = l->repositories[i].repomd_sha256;
        }
        for (size_t i = 0; i < l->n_packages; i++)
                package_copy(KILN_APPEND(copy->packages, copy->n_packages), &l->packages[i]);
        return copy;
}

char *kiln_nevra_format(
        const char *name, const char *epoch, const char *version, const char *release, const char *arch)
{
        bool has_epoch = epoch && *epoch && strcmp(epoch, "0") != 0;

        return kiln_asprintf("%s-%s%s%s-%s.%s", name, has_epoch ? epoch : "", has_epoch ? ":" : "", version,
                release, arch);
}

bool kiln_digest_is_zero(const struct kiln_digest *d)
{
        static const struct kiln_digest zero;

        return kiln_digest_equal(d, &zero);
}

/* ---- writing */

static void set_string(json_t *object, const char *key, const char *value)
{
        json_t *j = json_string(value ? value : "");

        /* Only invalid UTF-8 makes this NULL; what comes from metadata and parsed locks was checked. */
        if (!j)
                j = json_string("");
        json_object_set_new(object, key, j);
}

/* "" stands for a digest that is not known yet (SHA256HEADER before kiln_lock_fetch()). */
static void set_digest(json_t *object, const char *key, const struct kiln_digest *d)
{
        char hex[KILN_DIGEST_HEX + 1] = "";

        if (!kiln_digest_is_zero(d))
                kiln_digest_to_hex(d, hex);
        set_string(object, key, hex);
}

static json_t *package_to_json(const struct kiln_locked_package *p)
{
        json_t *j = json_object();
        char number[24];

        set_string(j, "name", p->name);
        set_string(j, "epoch", p->epoch);
        set_string(j, "version", p->version);
        set_string(j, "release", p->release);
        set_string(j, "arch", p->arch);
        set_string(j, "nevra", p->nevra);
        set_digest(j, "sha256", &p->sha256);
        set_digest(j, "headerSha256", &p->header_sha256);
        snprintf(number, sizeof(number), "%" PRIu64, p->size_bytes);
        set_string(j, "sizeBytes", number); /* protobuf's JSON mapping writes uint64 as a string */
        set_string(j, "repository", p->repository);
        set_string(j, "location", p->location);
        set_string(j, "signer", p->signer);
        set_string(j, "license", p->license);
        set_string(j, "sourceRpm", p->source_rpm);
        set_string(j, "layer", layer_names[p->layer]);
        return j;
}

void kiln_lock_write(const struct kiln_lock *l, struct kiln_buf *out)
{
        _cleanup_json_ json_t *j = json_object();
        json_t *repositories = json_array(), *packages = json_array();

        set_string(j, "toolchain", l->toolchain);
        set_digest(j, "toolchainDigest", &l->toolchain_digest);
        set_string(j, "arch", l->arch);
        json_object_set_new(j, "full", json_boolean(l->full));
        for (size_t i = 0; i < l->n_repositories; i++) {
                json_t *r = json_object();

                set_string(r, "id", l->repositories[i].id);
                set_string(r, "baseUrl", l->repositories[i].base_url);
                set_digest(r, "repomdSha256", &l->repositories[i].repomd_sha256);
                json_array_append_new(repositories, r);
        }
        for (size_t i = 0; i < l->n_packages; i++)
                json_array_append_new(packages, package_to_json(&l->packages[i]));
        json_object_set_new(j, "repositories", repositories);
        json_object_set_new(j, "packages", packages);
        kiln_json_canonical(j, out);
        kiln_buf_putc(out, '\n');
}

struct kiln_digest kiln_lock_digest(const struct kiln_lock *l)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;

        kiln_lock_write(l, &text);
        return kiln_digest_of(text.data, text.len);
}

struct kiln_digest kiln_lock_layer_digest(const struct kiln_lock *l, unsigned layers)
{
        _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;

        /* Where a package came from does not change what it installs: name, digest and layer do. */
        for (size_t i = 0; i < l->n_packages; i++) {
                const struct kiln_locked_package *p = &l->packages[i];
                char hex[KILN_DIGEST_HEX + 1];

                if (!(layers & (1u << p->layer)))
                        continue;
                kiln_digest_to_hex(&p->sha256, hex);
                kiln_buf_printf(&text, "%s %s %s\n", hex, layer_names[p->layer], p->nevra);
        }
        return kiln_digest_of(text.data, text.len);
}

/* ---- reading */

struct reader {
        const char *name; /* of the document */
        struct kiln_error *err;
};

static int refuse(const struct reader *r, const char *where, const char *what)
{
        int rc = kiln_error_set(r->err, KILN_BAD_INPUT, 0, "reading lock", r->name, "%s: %s", where, what);

        kiln_error_advise(r->err, "Make the lock again with `kiln lock`.");
        return rc;
}

static int get_string(
        const struct reader *r, const json_t *object, const char *where, const char *key, char **ret)
{
        const json_t *j = json_object_get(object, key);

        if (!json_is_string(j))
                return refuse(r, where, j ? "a value that must be a string is none" : "a key is missing");
        for (const char *s = json_string_value(j); *s; s++)
                if ((unsigned char)*s < 0x20 && *s != '\n' && *s != '\t')
                        return refuse(r, where, "a control character in a string");
        *ret = kiln_strdup(json_string_value(j));
        return 0;
}

static int get_digest(const struct reader *r, const json_t *object, const char *where, const char *key,
        bool may_be_empty, struct kiln_digest *ret)
{
        const char *hex = json_string_value(json_object_get(object, key));
        struct kiln_digest d = {{0}};

        if (hex && !*hex && may_be_empty) {
                *ret = d;
                return 0;
        }
        if (!hex || kiln_digest_from_hex(hex, &d) < 0 || kiln_digest_is_zero(&d))
                return refuse(r, where, "a SHA-256 digest must be 64 lower-case hexadecimal digits");
        *ret = d;
        return 0;
}

/* Every key of the table and no other. */
static int check_keys(const struct reader *r, const json_t *object, const char *where,
        const char *const *keys, size_t n_keys)
{
        const char *key;
        json_t *value;

        if (!json_is_object(object))
                return refuse(r, where, "must be an object");
        json_object_foreach((json_t *)object, key, value)
        {
                size_t i;

                for (i = 0; i < n_keys && strcmp(keys[i], key) != 0; i++)
                        ;
                if (i == n_keys) {
                        _cleanup_free_ char *text = kiln_asprintf("unknown key \"%s\"", key);

                        return refuse(r, where, text);
                }
        }
        for (size_t i = 0; i < n_keys; i++)
                if (!json_object_get(object, keys[i])) {
                        _cleanup_free_ char *text = kiln_asprintf("key \"%s\" is missing", keys[i]);

                        return refuse(r, where, text);
                }
        return 0;
}

/* A path below a base URL: relative, no "..", nothing a URL or shell would read differently. */
bool kiln_location_is_safe(const char *s)
{
        if (!*s || *s == '/')
                return false;
        for (const char *p = s; *p;) {
                size_t n = strcspn(p, "/");

                if (n == 0 || (n == 2 && p[0] == '.' && p[1] == '.') || (n == 1 && p[0] == '.'))
                        return false;
                p += n;
                if (*p == '/' && !*++p)
                        return false;
        }
        for (const char *p = s; *p; p++)
                if ((unsigned char)*p <= 0x20 || *p == 0x7f || strchr("\\?#\"'<>|", *p))
                        return false;
        return true;
}

/* Name, version and the like end up in argument lists and paths: no white space, no '/', no leading '-'. */
static bool word_is_safe(const char *s)
{
        if (!*s || *s == '-')
                return false;
        for (; *s; s++)
                if ((unsigned char)*s <= 0x20 || *s == 0x7f || *s == '/')
                        return false;
        return true;
}

static bool hex_is_lower(const char *s)
{
        return strspn(s, "0123456789abcdef") == strlen(s);
}

static const char *const package_keys[] = {"name", "epoch", "version", "release", "arch", "nevra", "sha256",
        "headerSha256", "sizeBytes", "repository", "location", "signer", "license", "sourceRpm", "layer"};

static int package_check(
        const struct reader *r, const struct kiln_locked_package *p, const char *where, const char *size)
{
        _cleanup_free_ char *nevra = NULL;
        uint64_t epoch;

        if (!word_is_safe(p->name) || !word_is_safe(p->version) || !word_is_safe(p->release) ||
                !word_is_safe(p->arch) || strchr(p->version, '-') || strchr(p->release, '-'))
                return refuse(r, where, "name, version, release or arch has characters that no package has");
        if (kiln_number_parse(p->epoch, UINT32_MAX, &epoch) < 0 || (p->epoch[0] == '0' && p->epoch[1]))
                return refuse(r, where, "epoch must be a decimal number below 2^32");
        nevra = kiln_nevra_format(p->name, p->epoch, p->version, p->release, p->arch);
        if (strcmp(nevra, p->nevra) != 0)
                return refuse(r, where, "nevra does not agree with name, epoch, version, release and arch");
        if (size[0] == '0' || p->size_bytes == 0)
                return refuse(r, where, "sizeBytes must be a decimal number above 0");
        if (!kiln_location_is_safe(p->location))
                return refuse(r, where, "location must be a plain path below the repository");
        if (!hex_is_lower(p->signer) || strlen(p->signer) > 128)
                return refuse(r, where, "signer must be a fingerprint in lower-case hexadecimal digits");
        return 0;
}

static int package_parse(
        const struct reader *r, const json_t *j, const char *where, struct kiln_locked_package *p)
{
        _cleanup_free_ char *layer = NULL, *size = NULL;
        const struct {
                const char *key;
                char **to;
        } strings[] = {
                {"name", &p->name},
                {"epoch", &p->epoch},
                {"version", &p->version},
                {"release", &p->release},
                {"arch", &p->arch},
                {"nevra", &p->nevra},
                {"repository", &p->repository},
                {"location", &p->location},
                {"signer", &p->signer},
                {"license", &p->license},
                {"sourceRpm", &p->source_rpm},
                {"layer", &layer},
                {"sizeBytes", &size},
        };
        int rc = check_keys(r, j, where, package_keys, KILN_ARRAY_SIZE(package_keys));

        for (size_t i = 0; rc == 0 && i < KILN_ARRAY_SIZE(strings); i++)
                rc = get_string(r, j, where, strings[i].key, strings[i].to);
        if (rc == 0)
                rc = get_digest(r, j, where, "sha256", false, &p->sha256);
        if (rc == 0)
                rc = get_digest(r, j, where, "headerSha256", true, &p->header_sha256);
        if (rc < 0)
                return rc;
        if (kiln_number_parse(size, INT64_MAX, &p->size_bytes) < 0)
                return refuse(r, where, "sizeBytes must be a decimal number above 0");
        for (size_t i = 0;; i++) {
                if (i == KILN_ARRAY_SIZE(layer_names))
                        return refuse(r, where, "layer must be BOOTSTRAP, BASE or DELTA");
                if (strcmp(layer, layer_names[i]) == 0) {
                        p->layer = (enum kiln_lock_layer)i;
                        break;
                }
        }
        return package_check(r, p, where, size);
}

static int repositories_parse(const struct reader *r, const json_t *array, struct kiln_lock *l)
{
        static const char *const keys[] = {"id", "baseUrl", "repomdSha256"};
        size_t i;
        json_t *j;

        if (!json_is_array(array) || json_array_size(array) > 1000)
                return refuse(r, "repositories", "must be an array of at most 1000");
        json_array_foreach(array, i, j)
        {
                struct kiln_locked_repository *repo = KILN_APPEND(l->repositories, l->n_repositories);
                int rc = check_keys(r, j, "a repository", keys, KILN_ARRAY_SIZE(keys));

                if (rc == 0)
                        rc = get_string(r, j, "a repository", "id", &repo->id);
                if (rc == 0)
                        rc = get_string(r, j, repo->id, "baseUrl", &repo->base_url);
                if (rc == 0)
                        rc = get_digest(r, j, repo->id, "repomdSha256", false, &repo->repomd_sha256);
                if (rc < 0)
                        return rc;
                if (!word_is_safe(repo->id))
                        return refuse(r, "repositories", "an id has characters that no repository has");
                if (i > 0 && strcmp(l->repositories[i - 1].id, repo->id) >= 0)
                        return refuse(r, "repositories", "must be sorted by id, each once");
        }
        return 0;
}

static int packages_parse(const struct reader *r, const json_t *array, struct kiln_lock *l)
{
        size_t i;
        json_t *j;

        if (!json_is_array(array) || json_array_size(array) > LOCK_PACKAGES_MAX)
                return refuse(r, "packages", "must be an array of at most 100000");
        json_array_foreach(array, i, j)
        {
                struct kiln_locked_package *p = KILN_APPEND(l->packages, l->n_packages);
                const char *nevra = json_string_value(json_object_get(j, "nevra"));
                int rc = package_parse(r, j, nevra ? nevra : "a package", p);
                size_t k;

                if (rc < 0)
                        return rc;
                if (i > 0 && strcmp(l->packages[i - 1].nevra, p->nevra) >= 0)
                        return refuse(r, p->nevra, "packages must be sorted by nevra, each once");
                for (k = 0; k < l->n_repositories; k++)
                        if (strcmp(l->repositories[k].id, p->repository) == 0)
                                break;
                if (k == l->n_repositories)
                        return refuse(r, p->nevra, "its repository is not in the lock");
        }
        return 0;
}

int kiln_lock_parse(
        const char *json, size_t len, const char *name, struct kiln_lock **ret, struct kiln_error *err)
{
        static const char *const keys[] = {
                "toolchain", "toolchainDigest", "arch", "full", "repositories", "packages"};
        _cleanup_json_ json_t *j = NULL;
        _cleanup_(kiln_lock_freep) struct kiln_lock *l = kiln_calloc(1, sizeof(*l));
        struct reader r = {name, err};
        int rc;

        if (len > LOCK_BYTES_MAX)
                return refuse(&r, "lock", "larger than 64 MiB");
        rc = kiln_json_parse(json, len, name, &j, err);
        if (rc == 0)
                rc = check_keys(&r, j, "lock", keys, KILN_ARRAY_SIZE(keys));
        if (rc == 0)
                rc = get_string(&r, j, "lock", "toolchain", &l->toolchain);
        if (rc == 0)
                rc = get_digest(&r, j, "toolchainDigest", "toolchainDigest", false, &l->toolchain_digest);
        if (rc == 0)
                rc = get_string(&r, j, "lock", "arch", &l->arch);
        if (rc < 0)
                return rc;
        if (!json_is_boolean(json_object_get(j, "full")))
                return refuse(&r, "full", "must be true or false");
        l->full = json_is_true(json_object_get(j, "full"));
        if (!word_is_safe(l->toolchain) || !word_is_safe(l->arch))
                return refuse(&r, "lock", "toolchain and arch must be plain words");
        rc = repositories_parse(&r, json_object_get(j, "repositories"), l);
        if (rc == 0)
                rc = packages_parse(&r, json_object_get(j, "packages"), l);
        if (rc < 0)
                return rc;
        *ret = TAKE_PTR(l);
        return 0;
}
