/* `kiln signer`: options for the key-holding process. Thin: everything else is worker/attest/signer*.c.
 *
 * `kiln rebuild` starts this command by itself, with --fd, for the local key pair. */
#include "worker/attest/signer.h"

#include "worker/base/mem.h"
#include "worker/base/number.h"
#include "worker/cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

struct signer_values {
        const char *keys;
        const char *user_id;
        const char *log_origin;
        const char *listen;
        char **allow;
        uint64_t fd;
        bool show;
};

#define NO_FD UINT64_MAX

static int show_public(const struct kiln_context *c, const char *log_origin, struct kiln_error *err)
{
        _cleanup_(kiln_signer_freep) struct kiln_signer *s = NULL;
        const struct kiln_public_keys *p;
        int r = kiln_signer_spawn_log(c, log_origin, &s, err);

        if (r < 0)
                return r;
        p = kiln_signer_public(s);
        if (kiln_cli_json(c)) {
                _cleanup_json_ json_t *j = json_pack("{s:{s:s, s:s}, s:{s:s, s:s}}", "openpgp", "fingerprint",
                        p->openpgp_fingerprint, "armor", p->openpgp_armor, "attestation", "keyid",
                        p->attest_keyid, "pem", p->attest_pem);
                _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;

                if (p->log_vkey)
                        json_object_set_new(j, "log", json_pack("{s:s}", "vkey", p->log_vkey));
                kiln_json_pretty(j, &b);
                fputs(kiln_buf_str(&b), stdout);
                return 0;
        }
        printf("# packages: OpenPGP fingerprint %s\n%s# attestations: key id %s\n%s", p->openpgp_fingerprint,
                p->openpgp_armor, p->attest_keyid, p->attest_pem);
        if (p->log_vkey)
                printf("# transparency log\n%s\n", p->log_vkey);
        return 0;
}

static bool is_socket(uint64_t fd)
{
        int type;
        socklen_t len = sizeof(type);

        return getsockopt((int)fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

static int run(struct kiln_context *c, const struct signer_values *o)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_free_ uid_t *allowed = NULL;
        struct kiln_signer_server server = {.key_dir = o->keys ? o->keys : c->key_dir,
                .user_id = o->user_id,
                .log_origin = o->log_origin,
                .fd = -1,
                .cancel_fd = c->cancel_fd,
                .socket_path = o->listen};
        int r;

        if (!!o->listen + (o->fd != NO_FD) + o->show != 1)
                return kiln_options_complain(&kiln_command_signer, "one of --listen and --show is needed");
        if (o->show) {
                r = show_public(c, o->log_origin, &err);
                return r < 0 ? kiln_cli_fail(c, &err) : KILN_OK;
        }
        if (o->fd != NO_FD) {
                if (!is_socket(o->fd))
                        return kiln_options_complain(
                                &kiln_command_signer, "--fd names no socket; kiln starts that by itself");
                server.fd = (int)o->fd;
        }
        for (char **a = o->allow; a && *a; a++) {
                uint64_t uid;

                if (kiln_number_parse(*a, UINT32_MAX - 1, &uid) < 0)
                        return kiln_options_complain(
                                &kiln_command_signer, "--allow %s is no numeric user id", *a);
                *KILN_APPEND(allowed, server.n_allowed) = (uid_t)uid;
        }
        if (server.n_allowed == 0)
                *KILN_APPEND(allowed, server.n_allowed) = geteuid();
        server.allowed = allowed;
        r = kiln_signer_serve(&server, &err);
        /* A spawned signer has told its parent, who tells the user. */
        if (r < 0)
                return server.fd < 0 ? kiln_cli_fail(c, &err) : (int)err.verdict;
        return KILN_OK;
}

int kiln_cmd_signer(struct kiln_context *c, int argc, char **argv)
{
        struct signer_values o = {.fd = NO_FD};
        int r = kiln_options_parse(c, &kiln_command_signer, &o, &argc, argv);
        int status = r != 0 ? kiln_options_status(r) : run(c, &o);

        kiln_strv_free(o.allow);
        return status;
}

static const struct kiln_option signer_options[] = {
        {"listen", 'l', KILN_OPTION_STRING, offsetof(struct signer_values, listen), "SOCKET", NULL, 0,
                "serve on this Unix socket"},
        {"allow", 'a', KILN_OPTION_STRINGS, offsetof(struct signer_values, allow), "UID", NULL, 0,
                "with --listen: a user that may ask (default: only the one who starts this); repeatable"},
        {"keys", 'k', KILN_OPTION_STRING, offsetof(struct signer_values, keys), "DIR", NULL, 0,
                "the key directory (default: $KILN_KEYS, else keys/ of the configuration)"},
        {"user-id", 'u', KILN_OPTION_STRING, offsetof(struct signer_values, user_id), "TEXT", NULL, 0,
                "user id of the OpenPGP key, if that has to be made"},
        {"log-origin", 0, KILN_OPTION_STRING, offsetof(struct signer_values, log_origin), "NAME", NULL, 0,
                "also hold the key of the transparency log of this name, making it if there is none"},
        {"show", 's', KILN_OPTION_FLAG, offsetof(struct signer_values, show), NULL, NULL, 0,
                "print the public keys, making a key pair if there is none, and end"},
        {"fd", 0, KILN_OPTION_NUMBER, offsetof(struct signer_values, fd), "N", NULL, 1023,
                "serve one conversation on this inherited socket: how kiln starts a signer for the local "
                "keys"},
        {0},
};

const struct kiln_command kiln_command_signer = {
        .name = "signer",
        .summary = "hold the keys and sign for other kiln processes",
        .description =
                "The process that holds the signing keys: an OpenPGP key for packages and a second one for "
                "attestations. It hashes again what it signs and signs nothing but packages, in-toto "
                "statements about "
                "packages it was shown, repository metadata, and checkpoints of its own log. Without a "
                "served signer, kiln starts one "
                "for the "
                "local key pair whenever something is to be signed.\n"
                "\n"
                "Exit status: 0 the conversation ended, 4 the socket or the keys cannot be used, 6 the key "
                "directory is "
                "open to others.",
        .options = signer_options,
        .common = KILN_COMMON_JSON,
        .run = kiln_cmd_signer,
};
