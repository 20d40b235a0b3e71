#include "worker/buildroot/xml.h"

#include "worker/base/mem.h"

#include <string.h>

void xml_stop(struct xml *x, const char *why)
{
        if (!x->bad)
                x->bad = why;
        XML_StopParser(x->parser, XML_FALSE);
}

static const char *local_name(const char *name)
{
        const char *colon = strrchr(name, ':');

        return colon ? colon + 1 : name;
}

static void XMLCALL on_start(void *userdata, const XML_Char *name, const XML_Char **attributes)
{
        struct xml *x = userdata;

        if (++x->depth > XML_DEPTH_MAX) {
                xml_stop(x, "elements are nested too deeply");
                return;
        }
        kiln_buf_reset(&x->text);
        if (x->start)
                x->start(x, local_name(name), attributes);
}

static void XMLCALL on_end(void *userdata, const XML_Char *name)
{
        struct xml *x = userdata;
        const char *text = kiln_buf_str(&x->text);

        x->depth--;
        while (*text && strchr(" \t\r\n", *text))
                text++;
        while (x->text.len > 0 && strchr(" \t\r\n", x->text.data[x->text.len - 1]))
                x->text.data[--x->text.len] = '\0';
        if (x->end)
                x->end(x, local_name(name), x->text.len ? text : "");
        kiln_buf_reset(&x->text);
}

static void XMLCALL on_text(void *userdata, const XML_Char *s, int len)
{
        struct xml *x = userdata;

        if (x->text.len + (size_t)len > XML_TEXT_MAX) {
                xml_stop(x, "a text is too long");
                return;
        }
        kiln_buf_append(&x->text, s, (size_t)len);
}

static void XMLCALL on_doctype(
        void *userdata, const XML_Char *name, const XML_Char *sysid, const XML_Char *pubid, int subset)
{
        xml_stop(userdata, "it has a document type declaration");
}

void xml_init(struct xml *x)
{
        x->parser = XML_ParserCreate("UTF-8");
        if (!x->parser)
                abort(); /* no memory */
        XML_SetUserData(x->parser, x);
        XML_SetElementHandler(x->parser, on_start, on_end);
        XML_SetCharacterDataHandler(x->parser, on_text);
        XML_SetStartDoctypeDeclHandler(x->parser, on_doctype);
}

void xml_clear(struct xml *x)
{
        XML_ParserFree(x->parser);
        kiln_buf_clear(&x->text);
}

bool xml_feed(struct xml *x, const char *data, size_t len, bool last)
{
        while (len > (1u << 30)) { /* expat counts in int */
                if (!xml_feed(x, data, 1u << 30, false))
                        return false;
                data += 1u << 30;
                len -= 1u << 30;
        }
        if (XML_Parse(x->parser, data, (int)len, last) == XML_STATUS_OK)
                return true;
        if (!x->bad)
                x->bad = XML_ErrorString(XML_GetErrorCode(x->parser));
        return false;
}

const char *xml_read(struct xml *x, FILE *in)
{
        enum { CHUNK = 1 << 16 };
        _cleanup_free_ char *chunk = kiln_malloc(CHUNK);
        size_t n;

        do {
                n = fread(chunk, 1, CHUNK, in);
                if (ferror(in))
                        return "larger than it may be, or damaged";
                if (!xml_feed(x, chunk, n, n < CHUNK))
                        return x->bad;
        } while (n == CHUNK);
        return NULL;
}

const char *xml_attribute(const char **attributes, const char *name)
{
        for (; *attributes; attributes += 2)
                if (strcmp(local_name(attributes[0]), name) == 0)
                        return attributes[1];
        return NULL;
}
