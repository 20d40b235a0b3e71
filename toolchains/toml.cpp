/* The one C++ file: toml++ behind a C tree. Every exception ends here. */
/* toml++ 3.3 asserts that a table's name begins like one before it looks whether it does ("[" and a line's end abort
 * the program), and turns the same into an assumption where NDEBUG is set. Behind each stands the check that matters,
 * so neither may be: what the text holds is never the program's fault. */
#undef NDEBUG
#define TOML_ASSERT(expr) static_assert(true)
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <string_view>

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

extern "C" {
#include "toolchains/toml-raw.h"
#include "toolchains/toml.h"
}

namespace
{

char *copy(std::string_view s)
{
        char *p = static_cast<char *>(std::malloc(s.size() + 1));

        if (!p)
                throw std::bad_alloc();
        std::memcpy(p, s.data(), s.size());
        p[s.size()] = '\0';
        return p;
}

struct refused {
        unsigned line, column;
        const char *what;
};

void fill(struct kiln_toml *t, const toml::node &n);

void fill_children(struct kiln_toml *t, size_t n)
{
        t->children = static_cast<struct kiln_toml *>(std::calloc(n ? n : 1, sizeof(*t->children)));
        if (!t->children)
                throw std::bad_alloc();
}

void fill(struct kiln_toml *t, const toml::node &n)
{
        t->line = static_cast<unsigned>(n.source().begin.line);
        t->column = static_cast<unsigned>(n.source().begin.column);
        if (auto s = n.as_string()) {
                if (s->get().find('\0') != std::string::npos)
                        throw refused{t->line, t->column, "a string holds a NUL character"};
                t->kind = KILN_TOML_STRING;
                t->string = copy(s->get());
        } else if (auto i = n.as_integer()) {
                t->kind = KILN_TOML_INTEGER;
                t->integer = i->get();
        } else if (auto b = n.as_boolean()) {
                t->kind = KILN_TOML_BOOLEAN;
                t->boolean = b->get();
        } else if (auto a = n.as_array()) {
                t->kind = KILN_TOML_ARRAY;
                fill_children(t, a->size());
                for (auto &&e : *a)
                        fill(&t->children[t->n_children++], e);
        } else if (auto tab = n.as_table()) {
                t->kind = KILN_TOML_TABLE;
                fill_children(t, tab->size());
                for (auto &&[k, v] : *tab) {
                        if (k.str().find('\0') != std::string_view::npos)
                                throw refused{t->line, t->column, "a key holds a NUL character"};
                        struct kiln_toml *child = &t->children[t->n_children++];
                        child->key = copy(k.str());
                        fill(child, v);
                        /* the key's place, which is what a message should point at */
                        child->line = static_cast<unsigned>(k.source().begin.line);
                        child->column = static_cast<unsigned>(k.source().begin.column);
                }
                std::stable_sort(t->children, t->children + t->n_children,
                        [](const struct kiln_toml &x, const struct kiln_toml &y) {
                                return x.line != y.line ? x.line < y.line : x.column < y.column;
                        });
        } else {
                throw refused{t->line, t->column, "dates and floating-point numbers are not used here"};
        }
}

} // namespace

extern "C" int kiln_toml_raw_parse(const char *text, size_t len, struct kiln_toml *root, unsigned *ret_line,
        unsigned *ret_column, char *ret_what, size_t what_size)
{
        try {
                toml::parse_result r = toml::parse(std::string_view(text, len));

                if (!r) {
                        *ret_line = static_cast<unsigned>(r.error().source().begin.line);
                        *ret_column = static_cast<unsigned>(r.error().source().begin.column);
                        std::snprintf(ret_what, what_size, "%.*s",
                                static_cast<int>(
                                        std::min<size_t>(r.error().description().size(), what_size - 1)),
                                r.error().description().data());
                        return -1;
                }
                fill(root, r.table());
                return 0;
        } catch (const refused &e) {
                *ret_line = e.line;
                *ret_column = e.column;
                std::snprintf(ret_what, what_size, "%s", e.what);
        } catch (...) {
                *ret_line = *ret_column = 0;
                std::snprintf(ret_what, what_size, "out of memory");
        }
        return -1;
}
