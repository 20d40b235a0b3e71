#include "worker/source/srpm.h"

#include "worker/base/buf.h"
#include "worker/base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

static int policy_check(const struct kiln_rpm *rpm, const char *name, enum kiln_signature_policy policy,
        struct kiln_error *err)
{
        if (policy == KILN_SIGNATURE_ANY || rpm->signature == KILN_RPM_SIGNED)
                return 0;
        if (rpm->signature == KILN_RPM_UNSIGNED)
                kiln_error_set(err, KILN_BAD_INPUT, 0, "verifying", name,
                        "it is not signed, and the request demands a signature");
        else
                kiln_error_set(err, KILN_BAD_INPUT, 0, "verifying", name,
                        "it is signed by key %s, which is not among the known ones", rpm->signer);
        kiln_error_advise(
                err, "Add the signer's public key to the request or the toolchain, or accept any signature.");
        return -EACCES;
}

int kiln_srpm_open(int fd, const char *name, const struct kiln_keyring *keyring,
        enum kiln_signature_policy policy, struct kiln_rpm **ret, struct kiln_error *err)
{
        _cleanup_(kiln_rpm_freep) struct kiln_rpm *rpm = NULL;
        int r = kiln_rpm_open(fd, name, keyring, &rpm, err);

        if (r < 0)
                return r;
        if (!rpm->source) {
                kiln_error_set(
                        err, KILN_BAD_INPUT, 0, "reading", name, "it is a binary package (%s)", rpm->nevra);
                kiln_error_advise(err, "Its source package is %s.",
                        rpm->source_rpm[0] ? rpm->source_rpm : "not named in it");
                return -EINVAL;
        }
        if (strcmp(rpm->arch, "nosrc") == 0) {
                kiln_error_set(err, KILN_BAD_INPUT, 0, "reading", name,
                        "it is a nosrc package: some sources are left out of it");
                kiln_error_advise(err, "Make a complete source package with rpmbuild -bs, without NoSource "
                                       "and NoPatch tags.");
                return -EINVAL;
        }
        r = policy_check(rpm, name, policy, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(rpm);
        return 0;
}

char *kiln_srpm_dist(const char *release)
{
        /* Longest first where one begins another. */
        static const char *const prefixes[] = {"amzn", "azl", "mga", "cm", "el", "fc", "lp", "oe"};
        const char *found = NULL;
        size_t len = 0;

        for (const char *dot = strchr(release, '.'); dot; dot = strchr(dot + 1, '.'))
                for (size_t i = 0; i < KILN_ARRAY_SIZE(prefixes); i++) {
                        size_t n = strlen(prefixes[i]), m;

                        if (strncmp(dot + 1, prefixes[i], n) != 0 || !isdigit((unsigned char)dot[1 + n]))
                                continue;
                        for (m = 1 + n; isdigit((unsigned char)dot[m]) || dot[m] == '_'; m++)
                                ;
                        if (dot[m] == '\0' || dot[m] == '.') {
                                found = dot;
                                len = m;
                        }
                }
        return found ? kiln_strndup(found, len) : NULL;
}

static char *list_text(char *const *v)
{
        struct kiln_buf b = KILN_BUF_INIT;

        for (size_t i = 0; v[i] && i < 16; i++)
                kiln_buf_printf(&b, "%s%s", i ? " " : "", v[i]);
        return kiln_buf_take(&b);
}

int kiln_srpm_check_arch(const struct kiln_rpm *srpm, const char *arch, struct kiln_error *err)
{
        _cleanup_free_ char *only = list_text(srpm->exclusive_arch), *not = list_text(srpm->exclude_arch);

        /* "noarch" alone: its packages are for every arch, so any builder will do. */
        if (srpm->exclusive_arch[0] && !kiln_strv_contains(srpm->exclusive_arch, arch) &&
                !(strcmp(srpm->exclusive_arch[0], "noarch") == 0 && !srpm->exclusive_arch[1])) {
                kiln_error_set(err, KILN_REFUSED, 0, "checking", srpm->nevra,
                        "its ExclusiveArch is \"%s\", which does not name %s", only, arch);
                kiln_error_advise(err,
                        "It is not meant to be built for %s; change the tag with an overlay if it can be.",
                        arch);
                return -EPERM;
        }
        if (kiln_strv_contains(srpm->exclude_arch, arch)) {
                kiln_error_set(
                        err, KILN_REFUSED, 0, "checking", srpm->nevra, "its ExcludeArch is \"%s\"", not );
                kiln_error_advise(err,
                        "It is not meant to be built for %s; change the tag with an overlay if it can be.",
                        arch);
                return -EPERM;
        }
        return 0;
}
