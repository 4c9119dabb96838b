/** Numbers and tables for people. */
export function count(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** `0.35 s`, `12.3 s`, `3 min 20 s`. */
export function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(2)} s`;
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

/** Tokens per second with three significant digits at most; a dash where nothing was timed. */
export function rate(tokens: number, seconds: number): string {
  if (!(seconds > 0) || tokens <= 0) return "–";
  const value = tokens / seconds;
  return value >= 100 ? count(value) : value.toPrecision(3);
}

/** Rows with columns padded to the widest cell: the first to the left, the rest to the right. */
export function table(rows: readonly (readonly string[])[], align: "numbers" | "words" = "numbers"): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    });
  }
  const lines = rows.map((row) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return align === "words" || column === 0 ? cell.padEnd(width) : cell.padStart(width);
      })
      .join("  ")
      .trimEnd(),
  );
  return lines.map((line) => `${line}\n`).join("");
}

/** Breaks text at spaces so that no line is longer than `columns`, words that are longer alone excepted. */
export function wrap(text: string, columns: number, indent = ""): string {
  const lines: string[] = [];
  let line = indent;
  for (const word of text.split(/\s+/).filter((part) => part !== "")) {
    if (line.length > indent.length && line.length + 1 + word.length > columns) {
      lines.push(line);
      line = indent;
    }
    line += line.length > indent.length ? ` ${word}` : word;
  }
  lines.push(line);
  return lines.map((each) => `${each}\n`).join("");
}
