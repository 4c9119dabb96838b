/** Pooling of window scores to blocks, and the choice of the best blocks. */

/**
 * Block b takes the maximum over windows r·b − 1 … r·b + r − 1 that exist; of these only the first `seen` have scores,
 * the others count 0. −Infinity where none exists.
 */
export function poolScores(windows: usize, seen: i32, exist: i32, r: i32, blocks: i32, out: usize): void {
  for (let b = 0; b < blocks; b++) {
    const from = max(b * r - 1, 0), to = min(b * r + r, exist);
    let best: f32 = to > from ? (to > seen ? 0 : load<f32>(windows + (<usize>from << 2))) : -Infinity;
    for (let j = from; j < min(to, seen); j++) {
      const score = load<f32>(windows + (<usize>j << 2));
      best = score > best || score != score ? score : best;
    }
    store<f32>(out + (<usize>b << 2), best);
  }
}

/** How many of `count` (rounded up to 4, padded with the minimum) integers exceed `limit`. */
function countAbove(keys: usize, count: i32, limit: i32): i32 {
  const bound = i32x4.splat(limit), end = keys + (((<usize>count + 3) & ~3) << 2);
  let found = i32x4.splat(0);
  for (let at = keys; at < end; at += 16) found = i32x4.sub(found, i32x4.gt_s(v128.load(at), bound));
  return (
    i32x4.extract_lane(found, 0) + i32x4.extract_lane(found, 1) +
    (i32x4.extract_lane(found, 2) + i32x4.extract_lane(found, 3))
  );
}

/**
 * Writes `budget` block numbers, ascending, −1 padded: forced blocks first (init and local ones), then the highest
 * scores, the lower number on a tie; none after the diagonal block. `keys` holds the f32 scores of blocks 0 …
 * diagonal and is destroyed: as scores are never negative (but −Infinity), their bits order them as signed integers,
 * and the threshold is found by bisection over the 32 bits.
 */
export function chooseBlocks(keys: usize, diagonal: i32, init: i32, local: i32, budget: i32, to: usize): void {
  const blocks = diagonal + 1, firstLocal = max(0, diagonal - local);
  let written = 0;
  if (blocks <= budget) {
    for (; written < blocks; written++) store<i32>(to + (<usize>written << 2), written);
  } else {
    const forcedInit = min(init, blocks);
    const forced = forcedInit + max(0, blocks - max(forcedInit, firstLocal));
    for (let b = 0; b < forcedInit; b++) store<i32>(keys + (<usize>b << 2), i32.MIN_VALUE);
    for (let b = firstLocal; b < ((blocks + 3) & ~3); b++) store<i32>(keys + (<usize>b << 2), i32.MIN_VALUE);
    const free = max(0, budget - forced);
    // The largest threshold with at least `free` keys at or above it.
    let threshold: i64 = i32.MIN_VALUE;
    for (let bit: i64 = <i64>1 << 31; bit > 0; bit >>= 1) {
      const tried = threshold + bit;
      if (tried <= i32.MAX_VALUE && countAbove(keys, blocks, <i32>(tried - 1)) >= free) threshold = tried;
    }
    const limit = <i32>threshold;
    let ties = free - (limit == i32.MAX_VALUE ? 0 : countAbove(keys, blocks, limit));
    for (let b = 0; b < blocks && written < budget; b++) {
      const key = load<i32>(keys + (<usize>b << 2));
      let take = b < forcedInit || b >= firstLocal;
      if (!take && free > 0 && key >= limit) take = key > limit || ties-- > 0;
      if (!take) continue;
      store<i32>(to + (<usize>written << 2), b);
      written++;
    }
  }
  for (; written < budget; written++) store<i32>(to + (<usize>written << 2), -1);
}
