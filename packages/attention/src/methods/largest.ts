/**
 * The `count` largest of `scores`, all when there are no more: indices, ascending. A tie goes to the lower index; NaN
 * ranks last.
 */
export function largest(scores: ArrayLike<number>, count: number): number[] {
  const value = (index: number): number => {
    const score = scores[index] as number;
    return Number.isNaN(score) ? -Infinity : score;
  };
  const all = Array.from({ length: scores.length }, (_, index) => index);
  if (count >= all.length) return all;
  // Sorting is stable and indices start ascending.
  all.sort((a, b) => (value(a) === value(b) ? a - b : value(b) - value(a)));
  return all.slice(0, count).sort((a, b) => a - b);
}
