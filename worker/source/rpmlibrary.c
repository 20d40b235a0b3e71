#include "worker/source/rpmlibrary.h"

#include <pthread.h>
#include <rpm/rpmcrypto.h>
#include <rpm/rpmlog.h>
#include <rpm/rpmmacro.h>

/* librpm itself is global state: these stand beside it and nowhere else. */
static pthread_mutex_t library_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static rpmlogCallback previous_callback;
static int previous_mask;

#define MESSAGES_MAX ((size_t)16 << 10)

/* rpmReadConfigFiles() is never called: reading packages needs nothing of it, and it would bring the host's
 * macros in. These keep librpm from ever looking at a host's database or policy. */
static void library_init(void)
{
        static const char *const macros[] = {
                "_dbpath /nonexistent",
                "_pkgverify_level all",
                "_pkgverify_flags 0",
                "_keyringpath /nonexistent",
        };

        rpmInitCrypto();
        for (size_t i = 0; i < KILN_ARRAY_SIZE(macros); i++)
                rpmDefineMacro(NULL, macros[i], RMIL_CMDLINE);
}

static int message_catch(rpmlogRec record, rpmlogCallbackData data)
{
        struct kiln_buf *messages = data;
        const char *text = rpmlogRecMessage(record);

        if (messages && text && messages->len < MESSAGES_MAX)
                kiln_buf_puts(messages, text);
        return 0; /* librpm itself prints nothing */
}

void kiln_rpm_library_enter(struct kiln_buf *messages)
{
        pthread_once(&library_once, library_init);
        pthread_mutex_lock(&library_lock);
        previous_callback = rpmlogSetCallback(message_catch, messages);
        previous_mask = rpmlogSetMask(RPMLOG_UPTO(RPMLOG_INFO));
}

void kiln_rpm_library_leave(void)
{
        rpmlogSetMask(previous_mask);
        rpmlogSetCallback(previous_callback, NULL);
        pthread_mutex_unlock(&library_lock);
}
