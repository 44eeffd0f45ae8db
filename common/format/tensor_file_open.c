/* SPDX-License-Identifier: Apache-2.0 */
/* Which reader a file of tensors gets, by its first bytes. */
#include "common/format/safetensors.h"
#include "common/format/tensor_file_builder.h"
#include "common/format/torch_pickle.h"
#include "common/format/weights_index.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are handed out as they lie in the file");

static const struct {
    bool (*recognise)(const void *bytes, size_t size);
    int (*read)(struct tensor_file *f, const void *bytes, size_t size, const char *place, struct error *e);
} formats[] = {
    {safetensors_recognise, safetensors_read},
    {torch_zip_recognise, torch_zip_read},
    {torch_legacy_recognise, torch_legacy_read},
};

int tensor_file_parse(struct tensor_file **ret, const void *bytes, size_t size, const char *place, struct error *e)
{
    size_t format = 0, count = sizeof formats / sizeof *formats;
    while (format < count && !formats[format].recognise(bytes, size))
        format++;
    if (format == count)
        return error_set(e, ERROR_DATA, "%s: is neither safetensors nor a file of torch.save%s; get the model's weights again",
                         place, size ? "" : " (it is empty)");
    struct tensor_file *f = tensor_file_create();
    if (formats[format].read(f, bytes, size, place, e) || tensor_file_sort(f, place, e)) {
        tensor_file_close(&f);
        return -1;
    }
    *ret = f;
    return 0;
}

static int open_one(struct tensor_file **ret, const char *path, struct error *e)
{
    struct file_map map;
    if (file_map(&map, path, e))
        return -1;
    if (tensor_file_parse(ret, map.data, map.size, path, e)) {
        file_unmap(&map);
        return -1;
    }
    tensor_file_keep_map(*ret, map);
    return 0;
}

int tensor_file_open(struct tensor_file **ret, const char *path, struct error *e)
{
    return weights_index_recognise(path) ? weights_index_open(ret, path, open_one, e) : open_one(ret, path, e);
}
