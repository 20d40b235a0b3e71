/* Sigstore bundles, version 0.3 (github.com/sigstore/protobuf-specs, protos/sigstore_bundle.proto): one
 * attestation a file, in the form that other people's verifiers read. Ours name the key by a hint and carry
 * the envelope, and the entry of a transparency log that it is in; certificates and time stamps are not made.
 * A reader refuses a bundle with a certificate: whom to believe is decided by keys alone. */
#pragma once

#include "worker/verify/envelope.h"

#define KILN_BUNDLE_SUFFIX ".sigstore.json"

/* Whether a file name's rest behind <nvr> is ".<kind>.sigstore.json". */
bool kiln_bundle_is_suffix(const char *rest);

/* "<kind>" for a file name: "provenance", "spdx", "cyclonedx", "test-isa", "summary". The caller's; NULL: a
 * predicate type or test name that no file is named after. */
char *kiln_bundle_kind(const struct kiln_envelope *e);

/* The bundle of an envelope (its JSON, as in a .jsonl file) that this key signed; a new reference. */
json_t *kiln_bundle_write(const json_t *envelope, const char *keyid);

/* Writes a bundle of every envelope in directory/file, "<stem>.intoto.jsonl", as
 * out_dir/<stem>.<kind>.sigstore.json. Errors: as kiln_envelopes_next(); INFRA: cannot write. */
int kiln_bundle_export(const char *directory, const char *file, const struct kiln_verify_keys *keys,
        const char *out_dir, struct kiln_error *err);

/* Reads a file and opens the envelope in it (kiln_envelope_open()), with its log entries, which are still to
 * be checked. Errors: as there. */
int kiln_bundle_read(int dir_fd, const char *path, const struct kiln_verify_keys *keys,
        struct kiln_envelope **ret, struct kiln_error *err);
int kiln_bundle_parse(const char *text, size_t len, const struct kiln_verify_keys *keys, const char *name,
        struct kiln_envelope **ret, struct kiln_error *err);
