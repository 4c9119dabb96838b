/**
 * The largest size in `[minimum, …)` whose token count is at most `limit`, by bracketing and binary search. Sizes are
 * tried where the tokens per unit seen so far suggest, since every count tokenizes a whole prompt. Whatever the counts
 * do, the size returned was counted and fits.
 *
 * @param count tokens of the prompt of a size; should grow with the size
 * @returns undefined when not even `minimum` fits
 */
export function largestThatFits(count: (size: number) => number, minimum: number, limit: number): number | undefined {
  let fits = minimum;
  let tokens = count(fits);
  if (tokens > limit) return undefined;
  const base = tokens;
  let step = Math.max(1, minimum);
  let tooLarge: number | undefined;
  for (let turn = 0; tooLarge === undefined || tooLarge - fits > 1; turn++) {
    const perUnit = fits > minimum ? (tokens - base) / (fits - minimum) : 0;
    const estimate = perUnit > 0 ? fits + Math.floor((limit - tokens) / perUnit) : fits + step;
    // Every third turn halves the bracket, so uneven text cannot make the search slow.
    const middle = tooLarge === undefined ? fits + step : Math.floor((fits + tooLarge) / 2);
    const wanted = turn % 3 === 2 ? middle : estimate;
    const size = Math.min(Math.max(wanted, fits + 1), tooLarge === undefined ? Number.MAX_SAFE_INTEGER : tooLarge - 1);
    const counted = count(size);
    if (counted <= limit) {
      [fits, tokens] = [size, counted];
      step *= 2;
    } else {
      tooLarge = size;
    }
  }
  return fits;
}
