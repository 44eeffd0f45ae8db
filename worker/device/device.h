/* SPDX-License-Identifier: Apache-2.0 */
/* The table of operations that the network is made of, and the devices that carry it out.
 *
 * Legend. T packed tokens (all rows of a batch back to back, no padding), B rows of the batch, C width, H heads, D = C / H,
 * F inner width, L labels, V vocabulary, P positions, U distinct words of a step; N, K, O: rows, inputs, outputs of a
 * linear map. "act" is the device's activation type: float, or bf16 where the device was made with PRECISION_BF16. All
 * else is float (f32) or int32_t (i32). "=" is written, "+=" is added to.
 *
 * Memory is a handle: only code in worker/device may look inside. Elsewhere it is passed on and offset with device_at().
 * Operations are void: they may run later and in order; the first failure sticks, makes the following ones do nothing,
 * and is reported by finish(). Same inputs, same number of threads: same bits, on every run. */
#pragma once

#include "common/base/device_kind.h"
#include "common/base/error.h"
#include "worker/device/loss.h"
#include "worker/device/operands.h"

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uintptr_t address;
} device_memory;

#define DEVICE_NOTHING ((device_memory){0}) /* an absent optional argument */

static inline device_memory device_at(device_memory m, size_t bytes)
{
    return (device_memory){m.address + bytes};
}

/* Which elements are dropped is philox.h's business: RANDOM_DROPOUT by (seed, epoch, site, row, position, element). */
struct dropout {
    float probability; /* 0: none, the other fields are ignored */
    uint64_t seed;
    uint32_t epoch, site;
    device_memory rows;      /* i32 (N): row number of each vector */
    device_memory positions; /* i32 (N): its position in the row */
};

/* What a distance between a query and a key adds to its score (He et al., 2021, DeBERTa): of the key and the query projected from
 * the embedding of that distance, q . key' and k . query'. All scores are then divided by sqrt(D n) and not sqrt(D), n: one and
 * how many of the two there are. */
struct relative_bias {
    device_memory keys, queries; /* act (S,C), rows `stride` elements apart; DEVICE_NOTHING: none */
    size_t stride, S;
    device_memory
        places;   /* i32 (2 reach - 1): of the query's position less the key's, d, the row at [d + reach - 1]; not falling */
    size_t reach; /* no row of the batch is longer */
};

struct device;

struct device_operations {
    enum device_kind kind; /* not DEVICE_AUTO */

    /* Memory. allocate: 64-byte aligned, not zeroed; failure is an error here, not sticky. upload/download: any host memory. */
    int (*allocate)(struct device *d, device_memory *ret, size_t bytes, struct error *e);
    void (*release)(struct device *d, device_memory m);
    void (*upload)(struct device *d, device_memory to, const void *from, size_t bytes);
    void (*download)(struct device *d, void *to, device_memory from, size_t bytes); /* waits for what came before */
    /* Returns at once: `to` has it when a mark that was made later has passed, or after finish, and lives until then. */
    void (*download_later)(struct device *d, void *to, device_memory from, size_t bytes);
    uint64_t (*mark)(struct device *d); /* of all that was asked so far */
    /* 1: all before the mark is done; 0: not yet; -1: the sticky failure, as finish reports it. Never waits, but
     * where the device is not ahead. */
    int (*passed)(struct device *d, uint64_t mark, struct error *e);
    void (*zero)(struct device *d, device_memory m, size_t bytes);
    void (*copy)(struct device *d, device_memory to, device_memory from, size_t bytes);
    /* Host access to device memory for a collective or a file: valid until host_end, which brings changes back. May nest
     * for different spans; no operation may run on a span that is open. */
    void *(*host_begin)(struct device *d, device_memory m, size_t bytes);
    void (*host_end)(struct device *d, void *host, device_memory m, size_t bytes);
    int (*finish)(struct device *d, struct error *e); /* waits; reports the sticky failure and clears it */
    void (*destroy)(struct device *d);

    /* Embeddings: sum = word[ids] + position[positions] + type[types]; y = dropout(LayerNorm(sum)).
     * statistics f32 (T,2): mean and 1/std. Tables are the f32 masters. position, type and beta may be DEVICE_NOTHING: absent
     * from the network; their gradients are DEVICE_NOTHING too. */
    void (*embedding_forward)(struct device *d, device_memory y /* act (T,C) = */, device_memory sum /* act (T,C) = */,
                              device_memory statistics /* = */, device_memory ids /* i32 (T) */, device_memory positions,
                              device_memory types, device_memory word /* f32 (V,C) */, device_memory position /* f32 (P,C) */,
                              device_memory type /* f32 (types,C) */, device_memory gamma, device_memory beta, float epsilon,
                              const struct dropout *dropout, size_t T, size_t C);
    /* dword is compact: token t adds to row slots[t] of (U,C). All five gradients are "=": written whole, zeros where nothing
     * falls. dposition, dtype and dbeta may be DEVICE_NOTHING. */
    void (*embedding_backward)(struct device *d, device_memory dword /* f32 (U,C) = */, device_memory dposition /* f32 (P,C) = */,
                               device_memory dtype /* f32 (types,C) = */, device_memory dgamma, device_memory dbeta,
                               device_memory dy /* act (T,C), used as scratch */, device_memory sum, device_memory statistics,
                               device_memory slots /* i32 (T) */, device_memory positions, device_memory types,
                               device_memory gamma, const struct dropout *dropout, size_t T, size_t C, size_t U, size_t P,
                               size_t type_count);

    /* y = activation(pre), pre = x w^T + bias. pre may be DEVICE_NOTHING (inference), or y itself when activation is NONE.
     * w is act: in bf16 the shadow copy of the master. bias may be DEVICE_NOTHING: none. */
    void (*linear_forward)(struct device *d, device_memory y /* act (N,O) = */, device_memory pre /* act (N,O) = */,
                           device_memory x /* act (N,K) */, device_memory w /* act (O,K) */, device_memory bias /* f32 (O) */,
                           enum activation activation, size_t N, size_t K, size_t O);
    /* dx, dw and dbias may be DEVICE_NOTHING; add_dx: dx += instead of =. dw, dbias are "=". */
    void (*linear_backward)(struct device *d, device_memory dx /* act (N,K) = or += */, device_memory dw /* f32 (O,K) = */,
                            device_memory dbias /* f32 (O) = */, device_memory dy /* act (N,O) */, device_memory x,
                            device_memory w, int add_dx, size_t N, size_t K, size_t O);
    /* dpre = dy * activation'(pre); y = activation(pre) again; either may be DEVICE_NOTHING (dy too, without dpre). dpre may be
     * dy or pre. For TANH `pre` is the OUTPUT of tanh. */
    void (*activation_backward)(struct device *d, device_memory dpre /* act (n) = */, device_memory y /* act (n) = */,
                                device_memory dy, device_memory pre, enum activation activation, size_t n);

    /* Gated activation (Shazeer, 2020, GLU variants): pre holds for each token what is activated (F) and its gate (F);
     * y = activation(activated) * gate. activation: not TANH. */
    void (*gated_forward)(struct device *d, device_memory y /* act (N,F) = */, device_memory pre /* act (N,2F) */,
                          enum activation activation, size_t N, size_t F);
    /* y again; either of dpre and y may be DEVICE_NOTHING (dy too, without dpre). dpre may be pre. */
    void (*gated_backward)(struct device *d, device_memory dpre /* act (N,2F) = */, device_memory y /* act (N,F) = */,
                           device_memory dy /* act (N,F) */, device_memory pre, enum activation activation, size_t N, size_t F);

    /* Rotary positions (Su et al., 2021, RoFormer), in place, halves of a head turned against each other as transformers does:
     * of each token's vector, `stride` elements apart, the first `heads` heads of D (even) elements. Angle of pair i at position
     * p: p theta^(-2i/D), in f32. backward: by the negative angle, which is the gradient's way. */
    void (*rotate)(struct device *d, device_memory x /* act (T,stride) */, device_memory positions /* i32 (T) */, float theta,
                   int backward, size_t T, size_t heads, size_t D, size_t stride);

    /* Self-attention within each row of the batch: softmax(q k^T / sqrt(D)), dropout, times v. qkv holds for each token q (C),
     * k (C), v (C); head h is columns h*D..h*D+D-1 of each. offsets i32 (B+1): first token of each row.
     * log_sum f32 (H,T): log of the softmax's denominator with the maximum added back, for backward. Dropout: one key a (query
     * token, head << 19 | key position); dropout->rows and positions are of the query token. */
    void (*attention_forward)(struct device *d, device_memory y /* act (T,C) = */, device_memory log_sum /* = */,
                              device_memory qkv /* act (T,3C) */, device_memory offsets, const struct dropout *dropout, size_t B,
                              size_t T, size_t H, size_t D);
    void (*attention_backward)(struct device *d, device_memory dqkv /* act (T,3C) = */, device_memory dy /* act (T,C) */,
                               device_memory y, device_memory qkv, device_memory log_sum, device_memory offsets,
                               const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D);
    /* The same for the first token of each row alone, as query; keys and values are of all tokens: q act (B,C), kv act (T,2C). */
    void (*first_attention_forward)(struct device *d, device_memory y /* act (B,C) = */, device_memory log_sum /* f32 (H,B) = */,
                                    device_memory q, device_memory kv, device_memory offsets, const struct dropout *dropout,
                                    size_t B, size_t T, size_t H, size_t D);
    void (*first_attention_backward)(struct device *d, device_memory dq /* act (B,C) = */, device_memory dkv /* act (T,2C) = */,
                                     device_memory dy, device_memory y, device_memory q, device_memory kv, device_memory log_sum,
                                     device_memory offsets, const struct dropout *dropout, size_t B, size_t T, size_t H,
                                     size_t D);

    /* first_attention of keys and values kv = x w^T + bias, which need not be made: H vectors a row meet the tokens in place of
     * 2C. log_sum: for backward alone, each device's own. */
    void (*projected_attention_forward)(struct device *d, device_memory y /* act (B,C) = */,
                                        device_memory log_sum /* f32 (H,B) = */, device_memory q /* act (B,C) */,
                                        device_memory x /* act (T,C) */, device_memory w /* act (2C,C) */,
                                        device_memory bias /* f32 (2C) or DEVICE_NOTHING */, device_memory offsets,
                                        const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D);
    /* dx, dw and dbias may be DEVICE_NOTHING. */
    void (*projected_attention_backward)(struct device *d, device_memory dq /* act (B,C) = */,
                                         device_memory dx /* act (T,C) += */, device_memory dw /* f32 (2C,C) = */,
                                         device_memory dbias /* f32 (2C) = */, device_memory dy, device_memory y, device_memory q,
                                         device_memory x, device_memory w, device_memory bias, device_memory log_sum,
                                         device_memory offsets, const struct dropout *dropout, size_t B, size_t T, size_t H,
                                         size_t D);

    /* attention_forward, where a token sees only tokens `window->half` away or nearer (0: all, and then it is attention_forward's
     * bits), and the first of the row too where window->first is set (once, if it is near anyway). Memory is linear in a row's
     * length. */
    void (*window_attention_forward)(struct device *d, device_memory y /* act (T,C) = */, device_memory log_sum /* = */,
                                     device_memory qkv /* act (T,3C) */, device_memory offsets,
                                     const struct attention_window *window, const struct dropout *dropout, size_t B, size_t T,
                                     size_t H, size_t D);
    void (*window_attention_backward)(struct device *d, device_memory dqkv /* act (T,3C) = */, device_memory dy /* act (T,C) */,
                                      device_memory y, device_memory qkv, device_memory log_sum, device_memory offsets,
                                      const struct attention_window *window, const struct dropout *dropout, size_t B, size_t T,
                                      size_t H, size_t D);

    /* attention_forward and first_attention_forward with a bias by distance. dkeys and dqueries are as the bias's keys and
     * queries are, DEVICE_NOTHING where these are. Memory is linear in a row's length. */
    void (*relative_attention_forward)(struct device *d, device_memory y /* act (T,C) = */, device_memory log_sum /* = */,
                                       device_memory qkv /* act (T,3C) */, device_memory offsets,
                                       const struct relative_bias *bias, const struct dropout *dropout, size_t B, size_t T,
                                       size_t H, size_t D);
    void (*relative_attention_backward)(struct device *d, device_memory dqkv /* act (T,3C) = */,
                                        device_memory dkeys /* act (S,C) = */, device_memory dqueries /* act (S,C) = */,
                                        device_memory dy /* act (T,C) */, device_memory y, device_memory qkv,
                                        device_memory log_sum, device_memory offsets, const struct relative_bias *bias,
                                        const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D);
    void (*first_relative_attention_forward)(struct device *d, device_memory y /* act (B,C) = */,
                                             device_memory log_sum /* f32 (H,B) = */, device_memory q, device_memory kv,
                                             device_memory offsets, const struct relative_bias *bias,
                                             const struct dropout *dropout, size_t B, size_t T, size_t H, size_t D);
    void (*first_relative_attention_backward)(struct device *d, device_memory dq /* act (B,C) = */,
                                              device_memory dkv /* act (T,2C) = */, device_memory dkeys /* act (S,C) = */,
                                              device_memory dqueries /* act (S,C) = */, device_memory dy, device_memory y,
                                              device_memory q, device_memory kv, device_memory log_sum, device_memory offsets,
                                              const struct relative_bias *bias, const struct dropout *dropout, size_t B, size_t T,
                                              size_t H, size_t D);

    /* sum = x + dropout(z); y = LayerNorm(sum) * gamma + beta. sum may be x or z. z may be DEVICE_NOTHING: nothing is
     * added. beta may be DEVICE_NOTHING: none. */
    void (*normalize_forward)(struct device *d, device_memory y /* act (N,C) = */, device_memory sum /* act (N,C) = */,
                              device_memory statistics /* f32 (N,2) = */, device_memory x, device_memory z, device_memory gamma,
                              device_memory beta, float epsilon, const struct dropout *dropout, size_t N, size_t C);
    /* dx: gradient of the residual x; dz: of z. dx may be dy. dz, dgamma and dbeta may be DEVICE_NOTHING. */
    void (*normalize_backward)(struct device *d, device_memory dx /* act (N,C) = */, device_memory dz /* act (N,C) = */,
                               device_memory dgamma /* f32 (C) = */, device_memory dbeta /* f32 (C) = */, device_memory dy,
                               device_memory sum, device_memory statistics, device_memory gamma, const struct dropout *dropout,
                               size_t N, size_t C);

    /* The same where the network goes on with sum, too, as in pre-norm layers: dx comes with the gradient of sum from there, and
     * what comes through the norm is added to it. dx may not be dy; dz may. */
    void (*residual_normalize_backward)(struct device *d, device_memory dx /* act (N,C) += */, device_memory dz /* act (N,C) = */,
                                        device_memory dgamma /* f32 (C) = */, device_memory dbeta /* f32 (C) = */,
                                        device_memory dy, device_memory sum, device_memory statistics, device_memory gamma,
                                        const struct dropout *dropout, size_t N, size_t C);

    /* First token of each row: y[b] = x[offsets[b]]; and back: dx = 0 everywhere else. */
    void (*first_tokens)(struct device *d, device_memory y /* act (B,C) = */, device_memory x /* act (T,C) */,
                         device_memory offsets, size_t B, size_t C);
    void (*first_tokens_backward)(struct device *d, device_memory dx /* act (T,C) = */, device_memory dy, device_memory offsets,
                                  size_t B, size_t T, size_t C);
    /* x[offsets[b]] = y[b], or 0 where y is DEVICE_NOTHING; other tokens stay. */
    void (*replace_first_tokens)(struct device *d, device_memory x /* act (T,C) */, device_memory y /* act (B,C) */,
                                 device_memory offsets, size_t B, size_t C);
    /* Mean of each row's tokens, and its gradient. */
    void (*mean_tokens)(struct device *d, device_memory y /* act (B,C) = */, device_memory x /* act (T,C) */,
                        device_memory offsets, size_t B, size_t C);
    void (*mean_tokens_backward)(struct device *d, device_memory dx /* act (T,C) = */, device_memory dy, device_memory offsets,
                                 size_t B, size_t C);
    /* Forward and backward alike; y: = or +=. */
    void (*dropout_apply)(struct device *d, device_memory y /* act (N,C), may be x */, device_memory x,
                          const struct dropout *dropout, int add, size_t N, size_t C);

    /* Columns of a wider matrix: y = or += scale x, y may be x; rows of y and x are y_stride and x_stride elements apart. */
    void (*scale_columns)(struct device *d, device_memory y /* act (N,O) */, size_t y_stride, device_memory x /* act (N,O) */,
                          size_t x_stride, float scale, int add, size_t N, size_t O);

    /* The classifier: small, and in f32 whatever the activations are, so that probabilities do not tie. */
    void (*classifier_forward)(struct device *d, device_memory logits /* f32 (B,L) = */, device_memory x /* act (B,C) */,
                               device_memory w /* f32 (L,C) */, device_memory bias, size_t B, size_t C, size_t L);
    /* dw and dbias may be DEVICE_NOTHING, both. */
    void (*classifier_backward)(struct device *d, device_memory dx /* act (B,C) = */, device_memory dw /* f32 (L,C) = */,
                                device_memory dbias, device_memory dlogits /* f32 (B,L) */, device_memory x, device_memory w,
                                size_t B, size_t C, size_t L);
    /* loss f32 (B) = weight[class] * nll, not divided; dlogits (may be DEVICE_NOTHING) = weight[class] * (softmax - onehot). */
    void (*cross_entropy)(struct device *d, device_memory loss, device_memory dlogits, device_memory logits,
                          device_memory classes /* i32 (B) */, device_memory weights /* f32 (L) */,
                          const struct loss_shape *shape /* NULL: plain; with another dlogits are loss.h's */, size_t B,
                          size_t L);
    /* As torch BCEWithLogitsLoss(pos_weight), summed over labels, not divided: the caller divides by rows * L. */
    void (*binary_cross_entropy)(struct device *d, device_memory loss, device_memory dlogits, device_memory logits,
                                 device_memory targets /* f32 (B,L) */,
                                 device_memory positive_weights /* f32 (L) or DEVICE_NOTHING */, const struct loss_shape *shape,
                                 size_t B, size_t L);

    /* Optimiser, over arenas. */
    void (*add)(struct device *d, device_memory y /* f32 (n) += */, device_memory x, size_t n);
    /* Same bits whatever the number of threads. */
    void (*sum_of_squares)(struct device *d, device_memory sum /* f64 (1) = */, device_memory x /* f32 (n) */, size_t n);
    /* A sum for each run of `each` losses, the last may be shorter: added in their order, in double. bad: 1 where a loss is not
     * finite, else 0; ranks add theirs before clip. */
    void (*loss_sums)(struct device *d, device_memory sums /* f64 (n / each, rounded up) = */, device_memory bad /* f32 (1) = */,
                      device_memory losses /* f32 (n) */, size_t n, size_t each);
    /* norm = sqrt(sum) / divisor, in double; scale = min(1, clip / (norm + 1e-6)) / divisor (clip 0 or less: 1 / divisor). Bad,
     * and so from then on: a norm that is not finite, a loss that was not. */
    void (*clip)(struct device *d, device_memory control /* struct step_control; zeros at first */,
                 device_memory sum /* f64 (1) */, device_memory bad /* f32 (1): 0, or some loss was not finite */, double divisor,
                 double clip);
    /* Nothing is changed where control is bad; its scale is the gradient's. */
    void (*adamw)(struct device *d, device_memory p /* f32 (n) */,
                  device_memory shadow /* act (n) = rounded p, or DEVICE_NOTHING */, device_memory g, device_memory m,
                  device_memory v, const struct adamw *a, device_memory control, size_t n);
    /* Rows of an embedding table. slot_of i32 (V): row of g (U,C), or -1: gradient 0. seen u8 (V): set for rows with a slot; a
     * row never seen has zero moments and only decays. As adamw where control is bad. */
    void (*adamw_rows)(struct device *d, device_memory p /* f32 (V,C) */, device_memory g /* f32 (U,C) */, device_memory m,
                       device_memory v, device_memory seen, device_memory slot_of, const struct adamw *a, device_memory control,
                       size_t V, size_t C);
    void (*round_to_activation)(struct device *d, device_memory y /* act (n) = */, device_memory x /* f32 (n) */, size_t n);
    void (*widen_activation)(struct device *d, device_memory y /* f32 (n) = */, device_memory x /* act (n) */, size_t n);
};

struct device {
    const struct device_operations *run; /* d->run->add(d, ...) */
    enum precision precision;
    int threads;
    int ahead;       /* steps, or batches, that may be asked for before the first of them is done; 0: an operation is done when it
                      * returns. The same on all ranks: they learn of a step when they have asked for this many more. */
    bool rows_alone; /* forward: what a linear map gives a row does not depend on the rows beside it, nor on the number of threads
                      * (cpu, products of floats), which costs a few percent; false after creation */
    double timeout;  /* seconds that operations which wait, finish too, wait for the device; 0: for ever */
    bool lost;       /* it failed for good, or did not answer in time: nothing can be had of it, and its process has to end */
    double peak;     /* GFLOPS: the highest seen, see device_peak_share; 0: not measured */
    double flops; /* of matrix products asked for so far (linear maps, attention): 2 a multiply-add. cuda, which has no offsets on
                   * the host, counts linear maps alone; attention's are added by who knows the rows */
};

/* name: "cpu" (fast; best instruction set of this machine, or MUSTER_ISA=baseline|avx2|avx512|avx512_bf16|amx), "cpu_reference"
 * (plain C, one thread, defines what is right), "cuda" (this process's GPU, gpu.h), "guarded" (cpu with memory unreadable outside
 * operations and host_begin/end), "auto" (cuda where a GPU is visible, else cpu). ERROR_USAGE for a name not known, and for tf32
 * where the device is not cuda; gpu_open's errors. Destroy with d->run->destroy(d). */
int device_create(struct device **ret, const char *name, enum precision precision, int threads, struct error *e);
const char *device_gpu(const struct device *d); /* UUID of the GPU that computes, borrowed; "": none does */
size_t
device_memory_left(const struct device *d); /* bytes of the GPU that nobody has; 0: not known, or the memory is the host's */
/* One line, without the precision: "cpu (AVX-512), 2 threads, oneDNN 2.6.3". */
void device_describe(const struct device *d, char *text, size_t size);
/* What the processor's multiply-add instructions can do in the device's precision on its threads, GFLOPS, measured now (peak.h).
 * Of cuda what the data sheet says, gpu_peak. */
double device_peak(const struct device *d);
/* Work at `gflops` as a share of d->peak, 0..1; 0 if that is not measured. Work that was faster shows that the peak was measured
 * while something else took the machine: it is measured again, and where work is still faster, that work is the highest rate
 * seen. So the call may take some tenths of a second. */
double device_peak_share(struct device *d, double gflops);
/* Matrix product work since the device was made, floating-point operations: what the trainer's share of the peak counts. */
double device_flops(const struct device *d);
