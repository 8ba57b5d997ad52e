/* The two products of kernel composition for kernels of nine elements, each in one pass over memory.

   For each input channel, D is a 9 x 9 matrix, and X, Y and out hold O rows of nine numbers:

       Y null:  out = X + D X                                    (a kernel of W = X)
       else:    out = X + D^T X  and  gD = sum over rows of X Y^T  (gradients: X the kernel's, Y = W)

   Threads split the input channels, whose sums are their own, so that the result has the same bits
   for any number of them. GCC or clang (vector extensions); on x86-64, a processor with AVX2 and
   FMA, which is asked for at run time. */
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#define FAST __attribute__((target("avx2,fma")))
#else
#define FAST
#endif
#define INLINE static inline __attribute__((always_inline)) FAST

typedef long long size;
typedef float vec __attribute__((vector_size(32), aligned(4), may_alias));
typedef float half __attribute__((vector_size(16)));
enum {
    K = 9,
    LANES = 8,   /* of a vector */
    ROWS = 4,    /* worked on at a time: as often are D and its gradient read from the cache */
    TILE = 512,  /* channels, whose D and gradient (332 KB) stay in a second-level cache */
    LINE = 16,   /* numbers that come from memory at a time */
    AREA = K * K * TILE,
    LITTLE = 1 << 15 /* numbers in X that are not worth another thread */
};

enum order { OIk, OkI, IOk }; /* of W's axes: plain, channels last, transposed convolution */

struct job {
    float *out, *gD;
    const float *X, *Y, *D;
    size groups, O, I; /* O and I of one group */
    enum order order;
    float *scratch; /* 2 AREA for each part */
    size parts, next;
};

INLINE vec at(const float *p) { return *(const vec *)p; }
INLINE void ahead(const float *p) { __builtin_prefetch(p, 0, 3); }

/* --- rows of nine: eight are a vector -------------------------------------------------------- */

/* Numbers (s, k) of a channel's matrix, of row s of X and column k of its result or of Y. In memory
   they lie in this order, so that the ninth column is a vector too. */
typedef struct {
    vec row[K]; /* (s, 0..7) */
    vec column; /* (0..7, 8) */
    float corner;
} matrix;

INLINE matrix load(const float *p) {
    matrix m = {.column = at(p + K * LANES), .corner = p[K * K - 1]};
    for (int s = 0; s < K; s++) m.row[s] = at(p + s * LANES);
    return m;
}

INLINE void store(float *p, const matrix *m) {
    for (int s = 0; s < K; s++) *(vec *)(p + s * LANES) = m->row[s];
    *(vec *)(p + K * LANES) = m->column, p[K * K - 1] = m->corner;
}

INLINE float total(vec x) {
    half low, high;
    memcpy(&low, &x, sizeof low), memcpy(&high, (char *)&x + sizeof low, sizeof high);
    low += high;
    return (low[0] + low[2]) + (low[1] + low[3]);
}

/* n channels, `channel` numbers apart, of O outputs, `row` numbers apart */
INLINE void by_rows(float *out, float *sums, const float *X, const float *Y, const float *D, size O,
                    size row, size channel, size n) {
    for (size o = 0; o < O; o += ROWS)
        for (size i = 0; i < n; i++) {
            matrix d = load(D + i * K * K), sum;
            if (Y) sum = load(sums + i * K * K);
            for (size r = o; r < O && r < o + ROWS; r++) {
                size p = r * row + i * channel, next = p + ROWS * row;
                ahead(X + next);
                if (Y) ahead(Y + next);
                const float *x = X + p;
                vec x8 = at(x), y8 = x8, w8 = x8;
                float last = x[8], w = 0;
                if (Y) w8 = at(Y + p), w = Y[p + 8];
                for (int s = 0; s < K; s++) {
                    y8 += d.row[s] * x[s];
                    if (Y) sum.row[s] += w8 * x[s];
                }
                if (Y) sum.column += x8 * w, sum.corner += last * w;
                last += d.corner * last + total(d.column * x8);
                *(vec *)(out + p) = y8, out[p + 8] = last;
            }
            if (Y) store(sums + i * K * K, &sum);
        }
}

/* --- channels last: a vector is of LANES channels -------------------------------------------- */

INLINE void copy(float *to, const float *from, size n) {
    if (n == LANES) *(vec *)to = at(from);
    else memcpy(to, from, n * sizeof(float));
}

/* m <= ROWS rows, n of I channels; D and sums are (9, 9, LANES) */
INLINE void lanes(float *out, float *sums, const float *X, const float *Y, const float *D, size m,
                  size I, size n) {
    float x[ROWS][K * LANES], w[ROWS][K * LANES];
    if (m < ROWS || n < LANES) memset(x, 0, sizeof x), memset(w, 0, sizeof w);
    for (size r = 0; r < m; r++)
        for (size k = 0; k < K; k++) {
            copy(x[r] + k * LANES, X + (r * K + k) * I, n);
            if (Y) copy(w[r] + k * LANES, Y + (r * K + k) * I, n);
        }
    for (size r = 0; r < m; r++) {
        vec in[K];
        for (int s = 0; s < K; s++) in[s] = at(x[r] + s * LANES);
        for (int k = 0; k < K; k++) {
            vec y = in[k];
            for (int s = 0; s < K; s++) y += in[s] * at(D + (s * K + k) * LANES);
            copy(out + (r * K + k) * I, (float *)&y, n);
        }
    }
    for (int s = 0; Y && s < K; s++)
        for (int k = 0; k < K; k++) {
            vec *sum = (vec *)(sums + (s * K + k) * LANES), y = *sum;
            for (int r = 0; r < ROWS; r++) y += at(x[r] + s * LANES) * at(w[r] + k * LANES);
            *sum = y;
        }
}

/* lines of n numbers, from the from-th on, to the second-level cache */
INLINE void lines_ahead(const float *p, size from, size to, size I, size n) {
    for (p += from * I; from < to; from++, p += I)
        for (size c = 0; c < n; c += LINE) __builtin_prefetch(p + c, 0, 2);
}

INLINE void by_lanes(float *out, float *sums, const float *X, const float *Y, const float *D, size O,
                     size I, size n) {
    for (size o = 0; o < O; o += ROWS)
        for (size c = 0; c < n; c += LANES) {
            size p = o * K * I + c, d = c * K * K, m = O - o < ROWS ? O - o : ROWS;
            size count = n - c < LANES ? n - c : LANES, more = O - o - m < ROWS ? O - o - m : ROWS;
            /* Meanwhile the next rows are fetched in the order of memory, which this is not. */
            size next = (o + m) * K * I, from = more * K * c / n, to = more * K * (c + count) / n;
            const float *y = Y ? Y + p : 0;
            lines_ahead(X + next, from, to, I, n);
            lines_ahead((Y ? Y : out) + next, from, to, I, n);
            if (m == ROWS && count == LANES)
                lanes(out + p, sums + d, X + p, y, D + d, ROWS, I, LANES);
            else lanes(out + p, sums + d, X + p, y, D + d, m, I, count);
        }
}

/* --- a range of channels --------------------------------------------------------------------- */

INLINE size place(enum order order, size c, size e) { /* of element e of channel c's matrix */
    if (order == OkI) return (c / LANES * K * K + e) * LANES + c % LANES;
    size s = e / K, k = e % K;
    return c * K * K + (k < LANES ? s * LANES + k : K * LANES + s);
}

/* n <= TILE channels of one group, from the i-th on */
INLINE void tile(const struct job *job, float *scratch, size group, size i, size n, int backward) {
    enum order order = job->order;
    size O = job->O, I = job->I, base = group * O * I * K;
    size p = base + i * (order == OkI ? 1 : order == IOk ? O * K : K);
    const float *D = job->D + (group * I + i) * K * K;
    const float *X = job->X + p, *Y = backward ? job->Y + p : 0;
    float *out = job->out + p, *gD = job->gD, *turned = scratch, *sums = scratch + AREA;
    for (size c = 0; c < n; c++)
        for (size a = 0; a < K; a++)
            for (size b = 0; b < K; b++) /* forward takes D's columns, backward its rows */
                turned[place(order, c, a * K + b)] = D[(c * K + (Y ? a : b)) * K + (Y ? b : a)];
    if (Y) memset(sums, 0, AREA * sizeof(float));
    if (order == OkI) by_lanes(out, sums, X, Y, turned, O, I, n);
    else if (order == IOk) by_rows(out, sums, X, Y, turned, O, K, O * K, n);
    else by_rows(out, sums, X, Y, turned, O, I * K, K, n);
    for (size c = 0; Y && c < n; c++)
        for (size e = 0; e < K * K; e++)
            gD[((group * I + i) + c) * K * K + e] = sums[place(order, c, e)];
}

static FAST void channels(const struct job *job, float *scratch, size from, size to) {
    for (size n, c = from; c < to; c += n) {
        size group = c / job->I, i = c % job->I;
        size most = job->order == IOk ? 1 : TILE; /* one's rows follow each other */
        n = job->I - i < to - c ? job->I - i : to - c;
        if (n > most) n = most;
        if (job->Y) tile(job, scratch, group, i, n, 1);
        else tile(job, scratch, group, i, n, 0);
    }
}

/* --- threads: each takes the next part until none is left ------------------------------------- */

static void work(void *given) {
    struct job *job = given;
    /* Lanes do not straddle parts; with several groups these are split whole. */
    size unit = job->groups > 1 ? job->I : job->order == OkI ? LANES : 1;
    size all = job->groups * job->I, units = (all + unit - 1) / unit;
    for (size part; (part = __atomic_fetch_add(&job->next, 1, __ATOMIC_RELAXED)) < job->parts;) {
        size from = units * part / job->parts * unit, to = units * (part + 1) / job->parts * unit;
        channels(job, job->scratch + part * 2 * AREA, from, to < all ? to : all);
    }
}

/* Whether this processor has the instructions. */
int doconv_supported(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return 1;
#endif
}

/* O and I are those of one group. `out` may be X. `parallel` is OpenMP's GOMP_parallel, of whatever
   library of that kind is in the process, or null. Returns 1; or 0 where memory does not suffice,
   and nothing has been written then. */
int doconv_products(float *out, float *gD, const float *X, const float *Y, const float *D,
                    size groups, size O, size I, int order, int threads,
                    void (*parallel)(void (*)(void *), void *, unsigned, unsigned)) {
    size parts = parallel && threads > 1 && groups * O * I * K > LITTLE ? threads : 1;
    float *scratch = malloc(parts * 2 * AREA * sizeof(float));
    if (!scratch) return 0;
    struct job job = {out, gD, X, Y, D, groups, O, I, order, scratch, parts, 0};
    if (parts > 1) parallel(work, &job, parts, 0);
    else work(&job);
    free(scratch);
    return 1;
}
