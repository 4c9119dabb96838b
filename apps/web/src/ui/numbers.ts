/** Numbers for people. */
export function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** `0.42 s`, `8.5 s`, `2 min 5 s` */
export function duration(seconds: number): string {
  if (seconds >= 100) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${seconds.toFixed(seconds < 1 ? 2 : 1)} s`;
}

/** Tokens a second; a dash where there was nothing to measure. */
export function rate(tokens: number, seconds: number): string {
  if (tokens <= 0 || seconds <= 0) return "–";
  const value = tokens / seconds;
  return `${value < 10 ? value.toFixed(1) : count(Math.round(value))} tokens/s`;
}

/** `2.1×` */
export function times(ratio: number): string {
  return `${ratio.toFixed(ratio < 10 ? 1 : 0)}×`;
}

/** `10M`, `1.2B` */
export function parameters(value: number): string {
  if (value >= 1e9) return `${(value / 1e9).toFixed(1)}B parameters`;
  return `${Math.round(value / 1e6)}M parameters`;
}

/** `1 block`, `71 blocks` */
export function plural(value: number, one: string): string {
  return `${count(value)} ${one}${value === 1 ? "" : "s"}`;
}
