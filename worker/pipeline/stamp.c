#include "worker/pipeline/stamp.h"

#include "worker/base/mem.h"
#include "worker/verify/bundle.h"

#include <string.h>

int stamp_open(const struct kiln_job *j, struct kiln_tsa **ret, struct kiln_error *err)
{
        const Kiln__V1__TimeStamping *t = j->request->time_stamping;

        return t ? kiln_tsa_open(j->context, t->url, t->certificates, strlen(t->certificates), ret, err) : 0;
}

int stamp_attestations(struct kiln_job *j, struct kiln_tsa *tsa, const char *attest_pem, const char *nvr,
        struct publication *p, struct kiln_error *err)
{
        _cleanup_(kiln_verify_keys_clear) struct kiln_verify_keys keys = {0};
        _cleanup_(kiln_envelopes_freep) struct kiln_envelopes *lines = NULL;
        _cleanup_free_ char *file = kiln_asprintf("%s.intoto.jsonl", nvr);
        int r = kiln_verify_keys_add(&keys, attest_pem, "this worker's key", err);

        if (r == 0)
                r = kiln_envelopes_open(p->stage_fd, file, &lines, err);
        while (r == 0) {
                _cleanup_(kiln_envelope_freep) struct kiln_envelope *e = NULL;
                _cleanup_buf_ struct kiln_buf text = KILN_BUF_INIT;
                _cleanup_free_ char *name = NULL;

                r = kiln_envelopes_next(lines, &keys, &e, err);
                if (r != 0)
                        break;
                r = kiln_bundle_make(lines, e, &keys, tsa, nvr, -1, &name, &text, err);
                if (r == KILN_BUNDLE_NAMELESS)
                        r = 0;
                else if (r == 0)
                        r = publication_add(p, j->record, name, KILN__V1__ARTEFACT__KIND__BUNDLE, text.data,
                                text.len, err);
        }
        return r < 0 ? r : 0;
}
