/* Sigstore bundles, version 0.3 (github.com/sigstore/protobuf-specs, protos/sigstore_bundle.proto): one
 * attestation a file, in the form that other people's verifiers read. Ours name the key by a hint and carry
 * the envelope, RFC 3161 time stamps over its signature where an authority was asked, and the entries of
 * transparency logs that it is in; certificates are not made. A reader refuses a bundle with a certificate:
 * whom to believe is decided by keys alone. */
#pragma once

#include "worker/attest/tsa.h"
#include "worker/verify/envelope.h"

#define KILN_BUNDLE_SUFFIX ".sigstore.json"
#define KILN_BUNDLE_STAMPS_MAX 32

/* Whether a file name's rest behind <nvr> is ".<kind>.sigstore.json". */
bool kiln_bundle_is_suffix(const char *rest);

/* "<kind>" for a file name: "provenance", "spdx", "cyclonedx", "test-isa", "summary". The caller's; NULL: a
 * predicate type or test name that no file is named after. */
char *kiln_bundle_kind(const struct kiln_envelope *e);

/* The bundle of an envelope (its JSON, as in a .jsonl file) that this key signed; a new reference. */
json_t *kiln_bundle_write(const json_t *envelope, const char *keyid);

/* The bundle of this very envelope that lies there already, to be added to: it may have time stamps and
 * entries of logs. Where there is none, a new one. */
json_t *kiln_bundle_at(int dir_fd, const char *path, const json_t *envelope, const char *keyid);

/* Puts a time stamp (the DER of a TimeStampResp) into a bundle's verification material. */
void kiln_bundle_add_stamp(json_t *bundle, const void *der, size_t len);

/* Makes the bundle of the envelope that was read last, with a stamp of an authority (NULL: without), out of
 * what lies in dir_fd (-1: nowhere) already.
 * *ret_name, the caller's, is the file name, "<stem>.<kind>.sigstore.json"; KILN_BUNDLE_NAMELESS: there is
 * none for its kind. Errors: INFRA, CANCELLED (kiln_tsa_stamp()). */
enum { KILN_BUNDLE_NAMELESS = 1 };
int kiln_bundle_make(const struct kiln_envelopes *lines, const struct kiln_envelope *e,
        const struct kiln_verify_keys *keys, struct kiln_tsa *tsa, const char *stem, int dir_fd,
        char **ret_name, struct kiln_buf *text, struct kiln_error *err);

/* Two envelopes of one kind in a file would have bundles of one name, the second in place of the first:
 * BAD_INPUT. */
int kiln_bundle_refuse_second(
        const struct kiln_envelope *e, const char *file, const char *kind, struct kiln_error *err);

/* Writes a bundle of every envelope in directory/file, "<stem>.intoto.jsonl", into out_dir. Errors: as
 * kiln_envelopes_next(), kiln_bundle_make() and kiln_bundle_refuse_second(); INFRA: cannot write. */
int kiln_bundle_export(const char *directory, const char *file, const struct kiln_verify_keys *keys,
        struct kiln_tsa *tsa, const char *out_dir, struct kiln_error *err);

/* Reads a file and opens the envelope in it (kiln_envelope_open()), with its log entries, which are still to
 * be checked. Errors: as there. */
int kiln_bundle_read(int dir_fd, const char *path, const struct kiln_verify_keys *keys,
        struct kiln_envelope **ret, struct kiln_error *err);
int kiln_bundle_parse(const char *text, size_t len, const struct kiln_verify_keys *keys, const char *name,
        struct kiln_envelope **ret, struct kiln_error *err);

/* The time stamps in a bundle and the signature that they lie with. Nothing is judged: neither who made the
 * signature nor the stamps (kiln_timestamp_check()). */
struct kiln_bundle_stamps {
        struct kiln_buf signature; /* empty: it is no bundle, and there are no stamps */
        struct kiln_buf *stamps;   /* each the DER of a TimeStampResp, so it is said */
        size_t n;
};
void kiln_bundle_stamps_clear(struct kiln_bundle_stamps *s);

/* BAD_INPUT: there are stamps, but not in the form or number that a bundle may have. What else is wrong with
 * a bundle is kiln_bundle_read()'s to say. */
int kiln_bundle_stamps_read(
        int dir_fd, const char *path, struct kiln_bundle_stamps *ret, struct kiln_error *err);
int kiln_bundle_stamps_parse(const char *text, size_t len, const char *name, struct kiln_bundle_stamps *ret,
        struct kiln_error *err);
