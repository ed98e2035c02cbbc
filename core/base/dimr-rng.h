/* dimr-rng.h — counter-based random numbers: Philox4x32-10
 *
 * A number is a pure function of (seed, stream, index), never of batch position, device or
 * thread. Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3",
 * SC 2011.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* One Philox4x32-10 block: ten rounds of @counter under @key. */
void dimr_philox4x32 (const guint32 counter[4],
                      const guint32 key[2],
                      guint32       out[4]);

/* What a stream of numbers is for; part of the counter, so that the streams never overlap. */
typedef enum
{
  DIMR_STREAM_START_NOISE,   /* x at t = 1 of an image */
  DIMR_STREAM_STEP_NOISE,    /* what a stochastic sampler adds; one sub-stream a step */
  DIMR_STREAM_CLASS,         /* random classes */
  DIMR_STREAM_LATENT_NOISE,  /* which latent of those that a picture may have */
  DIMR_STREAM_TRAINING_NOISE,/* what is added to a training sample */
  DIMR_STREAM_TRAINING_DRAW, /* its time, its mirroring, whether its label is dropped */
  DIMR_STREAM_TRAINING_ORDER,/* the order of an epoch */
  DIMR_STREAM_INITIAL,       /* parameters before training */
  DIMR_STREAM_PROCEDURAL,    /* drawn pictures */
} DimrStream;

/* Images of one seed; more would draw the first one's noise again. */
#define DIMR_RNG_N_IMAGES (G_GUINT64_CONSTANT (1) << 48)

/* Fills @out with @n standard normal values of image @image under @seed: element i is the same
 * whatever n is. @step tells sub-streams apart (0 where there is one). Box-Muller in double, rounded to float. */
void dimr_rng_normal (guint64    seed,
                      guint64    image,
                      DimrStream stream,
                      guint16    step,
                      float     *out,
                      gsize      n);

/* Four words of 32 bits: block @block of what dimr_rng_normal() makes its numbers of. */
void dimr_rng_words (guint64    seed,
                     guint64    image,
                     DimrStream stream,
                     guint32    block,
                     guint32    out[4]);

/* Uniform integer in [0, bound), the @index-th of its stream; bound > 0. */
guint32 dimr_rng_below (guint64    seed,
                        guint64    index,
                        DimrStream stream,
                        guint32    bound);

G_END_DECLS
