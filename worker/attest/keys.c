#include "worker/attest/keys.h"

#include "worker/base/digest.h"
#include "worker/base/file.h"
#include "worker/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define DOING "opening the signing keys"
#define KEY_FILE_MAX 4096 /* bytes; an Ed25519 key in PEM has 119 */
#define USER_ID_MAX 256

static inline void bio_freep(BIO **b)
{
        BIO_free(*b);
}

static inline void pkey_freep(EVP_PKEY **k)
{
        EVP_PKEY_free(*k);
}

/* Memory that held a private key is overwritten before it is freed. */
static inline void secret_clear(struct kiln_buf *b)
{
        if (b->data)
                OPENSSL_cleanse(b->data, b->capacity);
        kiln_buf_clear(b);
}

void kiln_public_keys_clear(struct kiln_public_keys *p)
{
        free(p->openpgp_armor);
        free(p->attest_pem);
        free(p->log_vkey);
        *p = (struct kiln_public_keys){0};
}

void kiln_keys_free(struct kiln_keys *k)
{
        if (!k)
                return;
        EVP_PKEY_free(k->rpm);
        EVP_PKEY_free(k->attest);
        EVP_PKEY_free(k->log);
        kiln_log_key_free(k->log_public);
        kiln_public_keys_clear(&k->public);
        free(k);
}

int kiln_keyid(const EVP_PKEY *key, char keyid[KILN_KEYID_HEX + 1])
{
        unsigned char *der = NULL;
        int len = i2d_PUBKEY(key, &der);
        struct kiln_digest d;

        if (len <= 0)
                return -EINVAL;
        d = kiln_digest_of(der, (size_t)len);
        OPENSSL_free(der);
        kiln_digest_to_hex(&d, keyid);
        return 0;
}

/* Others must be able neither to read nor to replace what we sign with. */
static int check_private(int fd, const char *name, struct kiln_error *err)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return kiln_error_set(err, KILN_INFRA, errno, DOING, name, "cannot look at it");
        if (st.st_uid != geteuid()) {
                kiln_error_set(err, KILN_REFUSED, 0, DOING, name, "it belongs to user %u, not to you (%u)",
                        st.st_uid, geteuid());
                kiln_error_advise(
                        err, "Give it to the user that signs, or set KILN_KEYS to a directory of yours.");
                return -EPERM;
        }
        if (st.st_mode & 077) {
                kiln_error_set(err, KILN_REFUSED, 0, DOING, name, "its mode %04o lets others in",
                        st.st_mode & 07777);
                kiln_error_advise(
                        err, "Run chmod go= on it, and make new keys if somebody may have read them.");
                return -EPERM;
        }
        return 0;
}

/* 0, -ENOENT without an error set, or negative errno. */
static int read_file(int dir_fd, const char *name, struct kiln_buf *out, struct kiln_error *err)
{
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        int r;

        if (fd < 0 && errno == ENOENT)
                return -ENOENT;
        if (fd < 0)
                return kiln_error_set(err, KILN_INFRA, errno, DOING, name, "cannot open it");
        r = check_private(fd, name, err);
        if (r < 0)
                return r;
        r = kiln_fd_read(fd, KEY_FILE_MAX, out);
        if (r < 0)
                return kiln_error_set(err, KILN_INFRA, -r, DOING, name, "cannot read it");
        return 0;
}

static int read_key(int dir_fd, const char *name, EVP_PKEY **ret, struct kiln_error *err)
{
        _cleanup_(secret_clear) struct kiln_buf pem = KILN_BUF_INIT;
        _cleanup_(bio_freep) BIO *bio = NULL;
        _cleanup_(pkey_freep) EVP_PKEY *key = NULL;
        int r = read_file(dir_fd, name, &pem, err);

        if (r < 0)
                return r;
        bio = BIO_new_mem_buf(pem.data ? pem.data : "", (int)pem.len);
        /* An empty pass phrase: never asks on a terminal. */
        key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"") : NULL;
        if (!key || EVP_PKEY_get_id(key) != EVP_PKEY_ED25519) {
                kiln_error_set(err, KILN_BAD_INPUT, 0, DOING, name,
                        "it is no Ed25519 private key in PKCS#8 PEM form");
                kiln_error_advise(err, "Move the key directory away; new keys are made on the next run.");
                return -EINVAL;
        }
        *ret = TAKE_PTR(key);
        return 0;
}

static int write_file(int dir_fd, const char *name, const void *data, size_t len, struct kiln_error *err)
{
        int r = kiln_file_write(dir_fd, name, data, len, 0600);

        if (r < 0)
                return kiln_error_set(err, KILN_INFRA, -r, DOING, name, "cannot write it");
        return 0;
}

/* Reads the key that is there, else makes one (*ret_new) that is only in memory. */
static int find_key(int dir_fd, const char *name, EVP_PKEY **ret, bool *ret_new, struct kiln_error *err)
{
        int r = read_key(dir_fd, name, ret, err);

        *ret_new = r == -ENOENT;
        if (r != -ENOENT)
                return r;
        *ret = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        if (!*ret)
                return kiln_error_set(err, KILN_INFRA, 0, DOING, name, "OpenSSL cannot make an Ed25519 key");
        return 0;
}

static int write_key(int dir_fd, const char *name, EVP_PKEY *key, struct kiln_error *err)
{
        _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_secmem());
        char *pem;
        long len;

        if (!bio || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
                return kiln_error_set(err, KILN_INFRA, 0, DOING, name, "OpenSSL cannot write the key");
        len = BIO_get_mem_data(bio, &pem);
        return write_file(dir_fd, name, pem, (size_t)len, err);
}

/* Derives the public halves, which are never trusted from disk. */
static int fill_public(struct kiln_keys *k, const char *user_id, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf certificate = KILN_BUF_INIT, armor = KILN_BUF_INIT;
        _cleanup_(bio_freep) BIO *bio = BIO_new(BIO_s_mem());
        char *pem;
        long len;

        if (!bio || kiln_openpgp_key_init(&k->openpgp, k->rpm, KILN_KEYS_CREATED_S) < 0 ||
                kiln_openpgp_write_key(&k->openpgp, k->rpm, user_id, &certificate) < 0 ||
                kiln_keyid(k->attest, k->public.attest_keyid) < 0 ||
                PEM_write_bio_PUBKEY(bio, k->attest) != 1)
                return kiln_error_set(
                        err, KILN_INFRA, 0, DOING, NULL, "OpenSSL cannot derive the public keys");
        kiln_openpgp_armor(KILN_ARMOR_PUBLIC_KEY, certificate.data, certificate.len, &armor);
        len = BIO_get_mem_data(bio, &pem);
        k->public.openpgp_armor = kiln_buf_take(&armor);
        k->public.attest_pem = kiln_strndup(pem, (size_t)len);
        kiln_hex_encode(
                k->openpgp.fingerprint, sizeof(k->openpgp.fingerprint), k->public.openpgp_fingerprint);
        return 0;
}

static int read_line(int dir_fd, const char *name, char **ret, struct kiln_error *err)
{
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;
        int r = read_file(dir_fd, name, &b, err);

        if (r < 0)
                return r;
        while (b.len > 0 && b.data[b.len - 1] == '\n')
                b.data[--b.len] = '\0';
        if (b.len == 0 || b.len > USER_ID_MAX || strlen(b.data) != b.len || strchr(b.data, '\n'))
                return kiln_error_set(err, KILN_BAD_INPUT, EINVAL, DOING, name, "it is not one line");
        *ret = kiln_buf_take(&b);
        return 0;
}

/* -ENOENT without an error set: not all there. */
static int load(int dir_fd, struct kiln_keys *k, struct kiln_error *err)
{
        _cleanup_free_ char *user_id = NULL;
        int r = read_line(dir_fd, "user-id", &user_id, err);

        if (r == 0)
                r = read_key(dir_fd, "rpm.key", &k->rpm, err);
        if (r == 0)
                r = read_key(dir_fd, "attest.key", &k->attest, err);
        return r < 0 ? r : fill_public(k, user_id, err);
}

/* Under the directory's lock. attest.key is written last, so whoever finds it finds everything. */
static int make(int dir_fd, const char *user_id, struct kiln_keys *k, struct kiln_error *err)
{
        _cleanup_free_ char *known_id = NULL;
        bool new_rpm, new_attest;
        int r = read_line(dir_fd, "user-id", &known_id, err);

        if (r == -ENOENT) {
                _cleanup_free_ char *line = kiln_asprintf("%s\n", user_id);

                r = write_file(dir_fd, "user-id", line, strlen(line), err);
                known_id = kiln_strdup(user_id);
        }
        if (r == 0)
                r = find_key(dir_fd, "rpm.key", &k->rpm, &new_rpm, err);
        if (r == 0)
                r = find_key(dir_fd, "attest.key", &k->attest, &new_attest, err);
        if (r == 0)
                r = fill_public(k, known_id, err);
        if (r == 0 && new_rpm)
                r = write_key(dir_fd, "rpm.key", k->rpm, err);
        if (r == 0)
                r = write_file(dir_fd, KILN_KEYS_OPENPGP_PUBLIC, k->public.openpgp_armor,
                        strlen(k->public.openpgp_armor), err);
        if (r == 0)
                r = write_file(dir_fd, KILN_KEYS_ATTEST_PUBLIC, k->public.attest_pem,
                        strlen(k->public.attest_pem), err);
        if (r == 0 && new_attest)
                r = write_key(dir_fd, "attest.key", k->attest, err);
        return r;
}

/* ---- the log's key ----------------------------------------------------------------------------------- */

/* -ENOENT without an error set: there is none. */
static int load_log(int dir_fd, struct kiln_keys *k, struct kiln_error *err)
{
        _cleanup_free_ char *origin = NULL;
        int r = read_key(dir_fd, "log.key", &k->log, err);

        if (r < 0)
                return r;
        r = read_line(dir_fd, "log-origin", &origin, err);
        if (r == -ENOENT || (r == 0 && kiln_log_key_new(origin, k->log, &k->log_public) < 0))
                return kiln_error_set(err, KILN_BAD_INPUT, EINVAL, DOING, "log-origin",
                        "the log's key is there, but not the name of its log");
        if (r == 0)
                k->public.log_vkey = kiln_log_key_format(k->log_public);
        return r;
}

/* Under the directory's lock; the key is written last. */
static int make_log(int dir_fd, const char *origin, struct kiln_keys *k, struct kiln_error *err)
{
        _cleanup_free_ char *name = kiln_asprintf("%s\n", origin), *vkey = NULL;
        bool new;
        int r = find_key(dir_fd, "log.key", &k->log, &new, err);

        if (r < 0)
                return r;
        if (kiln_log_key_new(origin, k->log, &k->log_public) < 0)
                return kiln_error_set(err, KILN_USAGE, EINVAL, DOING, origin,
                        "a log's name is at most %d characters of ASCII without blanks and plus signs",
                        KILN_LOG_NAME_MAX);
        k->public.log_vkey = kiln_log_key_format(k->log_public);
        vkey = kiln_asprintf("%s\n", k->public.log_vkey);
        r = write_file(dir_fd, "log-origin", name, strlen(name), err);
        if (r == 0)
                r = write_file(dir_fd, KILN_KEYS_LOG_PUBLIC, vkey, strlen(vkey), err);
        return r == 0 ? write_key(dir_fd, "log.key", k->log, err) : r;
}

static int open_log(int dir_fd, const char *origin, struct kiln_keys *k, struct kiln_error *err)
{
        _cleanup_close_ int lock_fd = -1;
        int r = load_log(dir_fd, k, err);

        if (r == -ENOENT && !origin)
                return 0;
        if (r == -ENOENT) {
                lock_fd = openat(dir_fd, ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
                if (lock_fd < 0 || flock(lock_fd, LOCK_EX) < 0)
                        return kiln_error_set(err, KILN_INFRA, errno, DOING, "log.key", "cannot lock it");
                r = load_log(dir_fd, k, err); /* another process was faster */
                if (r == -ENOENT)
                        r = make_log(dir_fd, origin, k, err);
        }
        if (r == 0 && origin && strcmp(origin, k->log_public->name) != 0) {
                r = kiln_error_set(err, KILN_REFUSED, EEXIST, DOING, "log.key", "it is the key of the log %s",
                        k->log_public->name);
                kiln_error_advise(err, "One key directory signs for one log: set KILN_KEYS to another one.");
        }
        return r;
}

int kiln_keys_open(const char *dir, const char *user_id, const char *log_origin, struct kiln_keys **ret,
        struct kiln_error *err)
{
        _cleanup_(kiln_keys_freep) struct kiln_keys *k = kiln_calloc(1, sizeof(*k));
        _cleanup_close_ int dir_fd = -1, lock_fd = -1;
        int r;

        if (!user_id)
                user_id = KILN_KEYS_USER_ID;
        if (!*user_id || strlen(user_id) > USER_ID_MAX || strchr(user_id, '\n'))
                return kiln_error_set(err, KILN_USAGE, EINVAL, DOING, user_id,
                        "a user id is one line of at most %d bytes", USER_ID_MAX);
        dir_fd = kiln_dir_make(AT_FDCWD, dir, 0700);
        if (dir_fd < 0) {
                r = kiln_error_set(err, KILN_INFRA, -dir_fd, DOING, dir, "cannot make the directory");
                kiln_error_advise(
                        err, "Set KILN_KEYS to a directory that is yours, or sign nothing with --sign none.");
                return r;
        }
        r = check_private(dir_fd, dir, err);
        if (r < 0)
                return r;

        r = load(dir_fd, k, err);
        if (r == -ENOENT) {
                lock_fd = openat(dir_fd, ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
                if (lock_fd < 0 || flock(lock_fd, LOCK_EX) < 0)
                        return kiln_error_set(err, KILN_INFRA, errno, DOING, dir, "cannot lock it");
                EVP_PKEY_free(TAKE_PTR(k->rpm));
                r = load(dir_fd, k, err); /* another process was faster */
                if (r == -ENOENT) {
                        EVP_PKEY_free(TAKE_PTR(k->rpm));
                        r = make(dir_fd, user_id, k, err);
                        k->public.created = true;
                }
        }
        kiln_closep(&lock_fd); /* open_log() takes it anew */
        lock_fd = -1;
        if (r == 0)
                r = open_log(dir_fd, log_origin, k, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(k);
        return 0;
}
