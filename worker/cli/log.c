/* `kiln log`: a transparency log of attestations. Thin: worker/attest/log and worker/verify/logged do it. */
#include "worker/attest/signer.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"
#include "worker/base/text.h"
#include "worker/cli/cli.h"
#include "worker/verify/logged.h"
#include "worker/verify/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define REKOR_PREFIX "rekor+"

struct log_values {
        const char *origin, *signer, *log_key, *since, *output;
        char **keys;
};

static void log_values_clear(struct log_values *o)
{
        kiln_strv_free(o->keys);
}

static void print_json(json_t *j)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;

        kiln_json_pretty(j, &b);
        fwrite(b.data, 1, b.len, stdout);
}

static void print_clean(const char *text)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;

        kiln_text_clean(&b, text, strlen(text), kiln_text_utf8() ? 0 : KILN_TEXT_ASCII);
        fputs(kiln_buf_str(&b), stdout);
}

static json_t *checkpoint_json(const struct kiln_checkpoint *c)
{
        char hex[KILN_DIGEST_HEX + 1];

        kiln_digest_to_hex(&c->root, hex);
        return json_pack("{s:s, s:I, s:s, s:s}", "origin", c->origin, "size", (json_int_t)c->size, "root",
                hex, "checkpoint", c->note);
}

/* ---- keys -------------------------------------------------------------------------------------------- */

static int key_from_file(const char *path, struct kiln_log_key **ret, struct kiln_error *err)
{
        _cleanup_(kiln_policy_freep) struct kiln_policy *p = kiln_policy_new();
        int r = kiln_policy_add_log(p, path, err);

        if (r < 0)
                return r;
        *ret = TAKE_PTR(p->logs[0]);
        p->n_logs = 0;
        return 0;
}

/* --log-key, else the log of the local keys. */
static int find_key(const struct kiln_context *c, const struct log_values *o, struct kiln_log_key **ret,
        struct kiln_error *err)
{
        _cleanup_free_ char *path = kiln_path_join(c->key_dir, KILN_KEYS_LOG_PUBLIC);

        if (o->log_key)
                return key_from_file(o->log_key, ret, err);
        if (kiln_file_exists(AT_FDCWD, path))
                return key_from_file(path, ret, err);
        kiln_error_set(err, KILN_BAD_INPUT, ENOKEY, "reading", "the log's key", "there is none here");
        kiln_error_advise(err, "Give the log's verifier key with --log-key.");
        return -ENOKEY;
}

static int sign(void *ctx, const char *body, size_t len, unsigned char ret[64], struct kiln_error *err)
{
        return kiln_signer_checkpoint(ctx, body, len, ret, err);
}

/* The key that the signer holds; it signs for no other log. */
static int signer_key(struct kiln_signer *s, struct kiln_log_key **ret, struct kiln_error *err)
{
        const char *vkey = kiln_signer_public(s)->log_vkey;

        if (vkey && kiln_log_key_parse(vkey, ret) == 0)
                return 0;
        kiln_error_set(err, KILN_REFUSED, ENOKEY, "using", "the signer", "it holds no log's key");
        kiln_error_advise(err, "Begin a log with `kiln log init`, or start `kiln signer` with --log-origin.");
        return -ENOKEY;
}

/* ---- init -------------------------------------------------------------------------------------------- */

static int init(
        const struct kiln_context *c, const struct log_values *o, const char *where, struct kiln_error *err)
{
        _cleanup_(kiln_signer_freep) struct kiln_signer *s = NULL;
        _cleanup_(kiln_log_key_freep) struct kiln_log_key *key = NULL;
        _cleanup_(kiln_log_store_freep) struct kiln_log_store *store = NULL;
        struct kiln_log_signer signer = {.sign = sign};
        int r = o->signer ? kiln_signer_connect(c, o->signer, &s, err)
                          : kiln_signer_spawn_log(c, o->origin, &s, err);

        if (r == 0)
                r = signer_key(s, &key, err);
        if (r == 0 && strcmp(key->name, o->origin) != 0)
                r = kiln_error_set(err, KILN_REFUSED, 0, "using", "the signer", "its log is %s", key->name);
        if (r == 0)
                r = kiln_log_store_open(c, where, true, &store, err);
        signer.ctx = s;
        signer.key = key;
        if (r == 0)
                r = kiln_log_init(c, store, &signer, err);
        if (r < 0)
                return r;
        if (kiln_cli_json(c)) {
                _cleanup_json_ json_t *j =
                        json_pack("{s:s, s:s}", "origin", key->name, "vkey", kiln_signer_public(s)->log_vkey);

                print_json(j);
        } else {
                puts(kiln_signer_public(s)->log_vkey);
        }
        return 0;
}

/* ---- append ------------------------------------------------------------------------------------------ */

struct appended {
        bool json;
        json_t *entries;
};

static void tell(void *ctx, const char *file, const json_t *log_entry)
{
        struct appended *a = ctx;
        const char *index = kiln_json_string(log_entry, "logIndex");

        json_array_append_new(
                a->entries, json_pack("{s:s, s:o}", "index", index, "bundle", json_string(file)));
        if (a->json)
                return;
        printf("%s ", index);
        print_clean(file);
        printf("\n");
}

static int append_files(const struct kiln_context *c, const struct log_values *o,
        const struct kiln_logging *to, char **files, struct kiln_error *err)
{
        _cleanup_(kiln_policy_freep) struct kiln_policy *p = kiln_policy_new();
        _cleanup_json_ json_t *entries = json_array();
        struct appended told = {kiln_cli_json(c), entries};
        _cleanup_close_ int out_fd = -1;
        int r = kiln_policy_add_keys(p, o->keys, c->key_dir, err);

        if (r == 0)
                r = kiln_policy_check_keys(p, err);
        if (r == 0 && o->output) {
                out_fd = kiln_dir_make(AT_FDCWD, o->output, 0755);
                if (out_fd < 0)
                        r = kiln_error_set(err, KILN_INFRA, -out_fd, "writing bundles into", o->output,
                                "cannot make the directory");
        }
        for (; r == 0 && *files; files++) {
                const char *base = kiln_path_base(*files);
                _cleanup_free_ char *beside =
                        base == *files ? kiln_strdup(".") : kiln_strndup(*files, (size_t)(base - *files));

                r = kiln_logging_add(to, *files, &p->keys, o->output ? o->output : beside, tell, &told, err);
        }
        if (r == 0 && told.json) {
                _cleanup_json_ json_t *j =
                        json_pack("{s:s, s:O}", "origin", to->key->name, "entries", entries);

                print_json(j);
        }
        return r;
}

static int append_rekor(const struct kiln_context *c, const struct log_values *o, const char *url,
        char **files, struct kiln_error *err)
{
        _cleanup_(kiln_log_key_freep) struct kiln_log_key *key = NULL;
        _cleanup_(kiln_http_freep) struct kiln_http *http = NULL;
        int r = find_key(c, o, &key, err);

        if (r == 0)
                r = kiln_http_open(c, url, &http, err);
        if (r < 0)
                return r;
        return append_files(
                c, o, &(struct kiln_logging){.context = c, .rekor = http, .key = key}, files, err);
}

static int append_own(const struct kiln_context *c, const struct log_values *o, const char *where,
        char **files, struct kiln_error *err)
{
        _cleanup_(kiln_signer_freep) struct kiln_signer *s = NULL;
        _cleanup_(kiln_log_key_freep) struct kiln_log_key *key = NULL;
        _cleanup_(kiln_log_store_freep) struct kiln_log_store *store = NULL;
        int r = kiln_signer_open(c, o->signer, &s, err);

        if (r == 0)
                r = signer_key(s, &key, err);
        if (r == 0)
                r = kiln_log_store_open(c, where, false, &store, err);
        if (r < 0)
                return r;
        return append_files(c, o,
                &(struct kiln_logging){.context = c, .store = store, .signer = {sign, s, key}, .key = key},
                files, err);
}

/* ---- check, show ------------------------------------------------------------------------------------- */

static int read_since(
        const char *path, const struct kiln_log_key *key, struct kiln_checkpoint *ret, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf note = KILN_BUF_INIT;
        int r = kiln_file_read(AT_FDCWD, path, KILN_NOTE_MAX, &note);

        if (r < 0)
                return kiln_error_set(
                        err, KILN_BAD_INPUT, -r, "reading the checkpoint", path, "cannot read it");
        if (kiln_checkpoint_parse(kiln_buf_str(&note), note.len, ret) < 0)
                return kiln_error_set(
                        err, KILN_BAD_INPUT, 0, "reading the checkpoint", path, "it has not the form of one");
        r = kiln_checkpoint_check(ret, key);
        return r == 0 ? 0
                      : kiln_error_set(err, KILN_NOT_REPRODUCED, 0, "reading the checkpoint", path, "it %s",
                                kiln_checkpoint_why(r));
}

struct listing {
        bool quiet, json;
        json_t *entries;
};

static int list_entry(void *ctx, uint64_t index, const char *entry, size_t len)
{
        struct listing *l = ctx;
        char payload[KILN_DIGEST_HEX + 1] = "", leaf[KILN_DIGEST_HEX + 1];
        struct kiln_digest d, hash = kiln_merkle_leaf(entry, len);

        if (l->quiet)
                return 0;
        kiln_digest_to_hex(&hash, leaf);
        if (kiln_log_entry_read(entry, len, &d) == 0)
                kiln_digest_to_hex(&d, payload);
        if (l->json)
                json_array_append_new(l->entries, json_pack("{s:I, s:s, s:s}", "index", (json_int_t)index,
                                                          "leafSha256", leaf, "payloadSha256", payload));
        else
                printf("%-6" PRIu64 " %s\n", index, *payload ? payload : "(another kind of entry)");
        return 0;
}

static int look(const struct kiln_context *c, const struct log_values *o, const char *where, bool show,
        struct kiln_error *err)
{
        _cleanup_(kiln_log_key_freep) struct kiln_log_key *key = NULL;
        _cleanup_(kiln_log_store_freep) struct kiln_log_store *store = NULL;
        _cleanup_(kiln_checkpoint_clear) struct kiln_checkpoint now = {0}, since = {0};
        struct listing l = {.quiet = !show, .json = kiln_cli_json(c)};
        _cleanup_json_ json_t *j = NULL;
        int r = find_key(c, o, &key, err);

        if (r == 0 && o->since)
                r = read_since(o->since, key, &since, err);
        if (r == 0)
                r = kiln_log_store_open(c, where, false, &store, err);
        if (r == 0)
                r = show ? kiln_log_checkpoint(store, key, &now, NULL, err)
                         : kiln_log_look(c, store, key, &now, NULL, err);
        if (r < 0)
                return r;
        j = checkpoint_json(&now);
        if (show && l.json)
                json_object_set_new(j, "entries", l.entries = json_array());
        r = kiln_log_check(store, &now, list_entry, &l, err);
        if (r == 0 && o->since)
                r = kiln_log_extends(store, &since, &now, err);
        if (r < 0)
                return r;
        if (l.json)
                print_json(j);
        else if (show)
                fputs(now.note, stdout);
        else
                printf("%s: %" PRIu64 " entries, as its checkpoint says\n", now.origin, now.size);
        return 0;
}

/* ---- command ----------------------------------------------------------------------------------------- */

static int check_usage(const struct log_values *o, const char *verb, const char *where)
{
        bool append = strcmp(verb, "append") == 0, begin = strcmp(verb, "init") == 0;
        bool rekor = strncmp(where, REKOR_PREFIX, strlen(REKOR_PREFIX)) == 0;

        if (begin != (o->origin != NULL))
                return kiln_options_complain(&kiln_command_log, "init needs --origin, and nothing else does");
        if (rekor && !append)
                return kiln_options_complain(&kiln_command_log, "only append speaks with Rekor");
        if (o->signer && (rekor || (!append && !begin)))
                return kiln_options_complain(
                        &kiln_command_log, "--signer is for init and for append to a log of one's own");
        if ((o->keys || o->output) && !append)
                return kiln_options_complain(&kiln_command_log, "--key and --output are for append");
        if (o->since && strcmp(verb, "check") != 0)
                return kiln_options_complain(&kiln_command_log, "--since is for check");
        if (o->log_key && (begin || (append && !rekor)))
                return kiln_options_complain(
                        &kiln_command_log, "--log-key is for check, show, and append to Rekor's log");
        return KILN_OK;
}

static int run(struct kiln_context *c, const struct log_values *o, const char *verb, char **arguments)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        const char *where = arguments[0];
        int r = check_usage(o, verb, where);

        if (r != KILN_OK)
                return r;
        kiln_cli_release_terminal(c);
        if (strcmp(verb, "init") == 0)
                r = init(c, o, where, &err);
        else if (strcmp(verb, "append") != 0)
                r = look(c, o, where, strcmp(verb, "show") == 0, &err);
        else if (strncmp(where, REKOR_PREFIX, strlen(REKOR_PREFIX)) == 0)
                r = append_rekor(c, o, where + strlen(REKOR_PREFIX), arguments + 1, &err);
        else
                r = append_own(c, o, where, arguments + 1, &err);
        return r < 0 ? kiln_cli_fail(c, &err) : KILN_OK;
}

int kiln_cmd_log(struct kiln_context *c, int argc, char **argv)
{
        _cleanup_(log_values_clear) struct log_values o = {0};
        _cleanup_strv_ char **arguments = NULL;
        int r = kiln_options_parse(c, &kiln_command_log, &o, &argc, argv);

        if (r != 0)
                return kiln_options_status(r);
        for (int i = 1; i < argc; i++)
                kiln_strv_append(&arguments, argv[i]);
        return run(c, &o, argv[0], arguments);
}

static const struct kiln_verb log_verbs[] = {
        {"init", "LOG", 1, 1, "begin an empty log and print its verifier key"},
        {"append", "LOG FILE...", 2, KILN_ARGUMENTS_ANY,
                "log attestations and write bundles with the proofs"},
        {"check", "LOG", 1, 1, "hold everything in a log against its checkpoint"},
        {"show", "LOG", 1, 1, "check a log and print what it holds"},
        {0},
};

static const struct kiln_option log_options[] = {
        {"origin", 0, KILN_OPTION_STRING, offsetof(struct log_values, origin), "NAME", NULL, 0,
                "init: the log's name for good, such as log.example.org/builds"},
        {"signer", 0, KILN_OPTION_STRING, offsetof(struct log_values, signer), "SOCKET", NULL, 0,
                "init, append: the signer that listens there (default: the local keys)"},
        {"key", 'k', KILN_OPTION_STRINGS, offsetof(struct log_values, keys), "FILE", NULL, 0,
                "append: attest.pub of a builder whose attestations may be logged (default: the local key); "
                "repeatable"},
        {"log-key", 0, KILN_OPTION_STRING, offsetof(struct log_values, log_key), "FILE", NULL, 0,
                "check, show, Rekor: the log's verifier key (default: that of the local keys)"},
        {"since", 0, KILN_OPTION_STRING, offsetof(struct log_values, since), "CHECKPOINT", NULL, 0,
                "check: an earlier checkpoint that the log must extend"},
        {"output", 'o', KILN_OPTION_STRING, offsetof(struct log_values, output), "DIR", NULL, 0,
                "append: where the bundles go (default: beside each FILE)"},
        {0},
};

const struct kiln_command kiln_command_log = {
        .name = "log",
        .summary = "keep a transparency log of attestations, or use somebody else's",
        .verbs = log_verbs,
        .description =
                "LOG is a directory or an http(s) URL that takes PUT, with a static log (C2SP tlog-tiles) of "
                "one's own; or rekor+URL, a log with the interface of Rekor v2. FILE holds attestations "
                "(NAME-VERSION-RELEASE.intoto.jsonl): each is checked, logged, and written as a Sigstore "
                "bundle with the proof that it was. kiln verify --log-key checks such bundles offline.\n"
                "\n"
                "Exit status: 0 done, 3 not a log, or bad attestations, 4 the log cannot be reached, 6 "
                "refused, 7 the log or what it answers is not as signed.",
        .options = log_options,
        .common = KILN_COMMON_JSON | KILN_COMMON_OFFLINE,
        .run = kiln_cmd_log,
};
