/* `kiln cache`: how much the store and the layers hold, and making them smaller. Thin: worker/buildroot does
 * it. */
#include "worker/base/json.h"
#include "worker/buildroot/layer.h"
#include "worker/buildroot/store.h"
#include "worker/cli/cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Without --quota: what a laptop can spare. */
#define QUOTA_DEFAULT (UINT64_C(20) << 30)

struct cache_values {
        uint64_t quota;
};

struct sizes {
        struct kiln_store_stat store;
        struct kiln_layers_stat layers;
};

static int sizes_find(struct kiln_context *c, struct kiln_store *s, struct sizes *ret, struct kiln_error *err)
{
        int r = kiln_store_stat(s, &ret->store, err);

        return r < 0 ? r : kiln_layers_stat(c, &ret->layers, err);
}

static void print_json(const struct kiln_context *c, const struct sizes *z, const uint64_t *freed)
{
        _cleanup_json_ json_t *j = json_object();
        _cleanup_buf_ struct kiln_buf b = KILN_BUF_INIT;
        const struct {
                const char *key;
                uint64_t value;
        } numbers[] = {
                {"storeFiles", z->store.files},
                {"storeBytes", z->store.bytes},
                {"layers", z->layers.layers},
                {"layerBytes", z->layers.bytes},
                {"metadataBytes", z->store.metadata_bytes},
        };

        json_object_set_new(j, "directory", json_string(c->cache_dir));
        for (size_t i = 0; i < KILN_ARRAY_SIZE(numbers); i++)
                json_object_set_new(j, numbers[i].key, json_integer((json_int_t)numbers[i].value));
        if (freed)
                json_object_set_new(j, "freedBytes", json_integer((json_int_t)*freed));
        kiln_json_pretty(j, &b);
        fwrite(b.data, 1, b.len, stdout);
}

static void print_line(const char *what, uint64_t count, const char *unit, uint64_t bytes)
{
        printf("%-9s %9.1f MiB", what, (double)bytes / (1 << 20));
        if (*unit)
                printf("  %" PRIu64 " %s", count, unit);
        printf("\n");
}

static void print_text(const struct kiln_context *c, const struct sizes *z, const uint64_t *freed)
{
        printf("%s\n", c->cache_dir);
        print_line("store", z->store.files, "files", z->store.bytes);
        print_line("layers", z->layers.layers, "layers", z->layers.bytes);
        print_line("metadata", 0, "", z->store.metadata_bytes);
        if (freed)
                print_line("freed", 0, "", *freed);
}

/* Layers can be made again from the store at the cost of time only, so they give way first; what they leave
 * of the quota is the store's. */
static int collect(struct kiln_context *c, struct kiln_store *s, uint64_t quota, uint64_t *ret_freed,
        struct kiln_error *err)
{
        uint64_t layers_freed = 0, layers_left = 0, store_freed = 0, wanted;
        struct kiln_store_stat store = {0};
        int r = kiln_store_stat(s, &store, err);

        if (r < 0)
                return r;
        wanted = store.bytes < quota ? quota - store.bytes : 0;
        r = kiln_layers_collect(c, wanted, &layers_freed, &layers_left, err);
        if (r < 0)
                return r;
        r = kiln_store_collect(s, layers_left < quota ? quota - layers_left : 0, &store_freed, err);
        if (r == 0)
                *ret_freed = layers_freed + store_freed;
        return r;
}

int kiln_cmd_cache(struct kiln_context *c, int argc, char **argv)
{
        _cleanup_error_ struct kiln_error err = KILN_ERROR_INIT;
        _cleanup_(kiln_store_closep) struct kiln_store *s = NULL;
        struct cache_values o = {.quota = QUOTA_DEFAULT};
        struct sizes z = {0};
        uint64_t freed = 0;
        bool gc;
        int r = kiln_options_parse(c, &kiln_command_cache, &o, &argc, argv);

        if (r != 0)
                return kiln_options_status(r);
        gc = strcmp(argv[0], "gc") == 0;
        if (!gc && o.quota != QUOTA_DEFAULT)
                return kiln_options_complain(&kiln_command_cache, "--quota is for gc only");
        r = kiln_store_open(c, &s, &err);
        if (r == 0 && gc)
                r = collect(c, s, o.quota, &freed, &err);
        if (r == 0)
                r = sizes_find(c, s, &z, &err);
        if (r < 0)
                return kiln_cli_fail(c, &err);
        if (kiln_cli_json(c))
                print_json(c, &z, gc ? &freed : NULL);
        else
                print_text(c, &z, gc ? &freed : NULL);
        return KILN_OK;
}

static const struct kiln_verb cache_verbs[] = {
        {"stat", NULL, 0, 0, "say how much is kept"},
        {"gc", NULL, 0, 0, "remove what was used longest ago, down to the quota"},
        {0},
};

static const struct kiln_option cache_options[] = {
        {"quota", 0, KILN_OPTION_SIZE, offsetof(struct cache_values, quota), "SIZE", NULL, 0,
                "gc: how much may stay, 20G unless given; 0 removes everything not in use"},
        {0},
};

const struct kiln_command kiln_command_cache = {
        .name = "cache",
        .summary = "show and shrink the store and the build root layers",
        .verbs = cache_verbs,
        .description =
                "Everything in the cache can be made or fetched again, so it may also be deleted by hand at "
                "any time. What a running build uses is never removed by gc.\n"
                "\n"
                "Exit status: 0 done, 4 the cache cannot be read or written.",
        .options = cache_options,
        .common = KILN_COMMON_JSON,
        .run = kiln_cmd_cache,
};
