/* The compiled kernel on arrays that end where they end, for the sanitizers; and without memory. */
static int without_memory;
#include <stdlib.h>
static void *given(size_t bytes) { return without_memory ? 0 : malloc(bytes); }
#define malloc given
#include "../../doconv_core/native/products.c"
#undef malloc
#include <math.h>
#include <stdio.h>

static size O, I;
static int order;

static size place_of(size g, size o, size i, size k) {
    size base = g * O * I * K;
    if (order == OkI) return base + (o * K + k) * I + i;
    if (order == IOk) return base + (i * O + o) * K + k;
    return base + (o * I + i) * K + k;
}

static void twice(void (*run)(void *), void *job, unsigned count, unsigned flags) {
    (void)count, (void)flags;
    run(job), run(job); /* the second finds nothing left to do */
}

int main(void) {
    static const size OUTPUTS[] = {1, 2, 5, 8}, INPUTS[] = {1, 7, 9, 131};
    int wrong = 0;
    for (int c = 0; c < 4 * 4 * 3 * 2; c++) {
        O = OUTPUTS[c % 4], I = INPUTS[c / 4 % 4], order = c / 16 % 3;
        size groups = 1 + c / 48, n = groups * O * I * K, m = groups * I * K * K;
        float *W = malloc(n * 4), *G = malloc(n * 4), *out = malloc(n * 4);
        float *D = malloc(m * 4), *gD = malloc(m * 4);
        for (size j = 0; j < n; j++) W[j] = sinf(j), G[j] = cosf(j * 1.3f), out[j] = 1e9f;
        for (size j = 0; j < m; j++) D[j] = sinf(j * .7f);
        without_memory = 1;
        wrong += doconv_products(out, 0, W, 0, D, groups, O, I, order, 3, twice) != 0;
        wrong += out[0] != 1e9f;
        without_memory = 0;
        wrong += doconv_products(out, 0, W, 0, D, groups, O, I, order, 3, twice) != 1;
        for (size g = 0; g < groups; g++)
            for (size o = 0; o < O; o++)
                for (size i = 0; i < I; i++)
                    for (size k = 0; k < K; k++) {
                        double y = W[place_of(g, o, i, k)];
                        for (size s = 0; s < K; s++)
                            y += (double)D[((g * I + i) * K + k) * K + s] * W[place_of(g, o, i, s)];
                        wrong += fabs(y - out[place_of(g, o, i, k)]) > 1e-5;
                    }
        wrong += doconv_products(out, gD, G, W, D, groups, O, I, order, 3, twice) != 1;
        for (size g = 0; g < groups; g++)
            for (size i = 0; i < I; i++)
                for (size k = 0; k < K; k++)
                    for (size s = 0; s < K; s++) {
                        double y = 0;
                        for (size o = 0; o < O; o++)
                            y += (double)G[place_of(g, o, i, k)] * W[place_of(g, o, i, s)];
                        wrong += fabs(y - gD[((g * I + i) * K + k) * K + s]) > 1e-4;
                    }
        free(W), free(G), free(out), free(D), free(gD);
    }
    printf("%d wrong\n", wrong);
    return wrong != 0;
}
