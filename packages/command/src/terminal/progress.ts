import { formatBytes } from "@infllm/tensor";
import type { Output } from "../io.ts";

/** What is counted; bytes are written as KiB, MiB, …. */
export type Unit = "bytes" | "tokens" | "rows" | "samples" | "matrices";

const quietMs = 1000;
const redrawMs = 100;

/**
 * One line on a terminal's stderr that redraws itself, for work that has taken more than a second. Silent on pipes
 * and files. Call `clear` before printing anything else to the terminal.
 */
export class Progress {
  readonly #started: number;
  #drawnAt = 0;
  #visible = false;

  constructor(
    readonly output: Output,
    readonly now: () => number = () => performance.now(),
  ) {
    this.#started = this.now();
  }

  update(label: string, done: number, total: number | undefined, unit: Unit = "tokens"): void {
    const time = this.now();
    if (!this.output.isTTY || time - this.#started < quietMs || time - this.#drawnAt < redrawMs) return;
    this.#drawnAt = time;
    this.#draw(progressLine(label, done, total, unit, this.output.columns ?? 80));
  }

  clear(): void {
    if (this.#visible) this.output.write("\r\u001b[K");
    this.#visible = false;
  }

  #draw(line: string): void {
    this.output.write(`\r${line}\u001b[K`);
    this.#visible = true;
  }
}

/** `label ━━━━──── 50 %  4,096 of 8,192 tokens`, cut to fit `columns`. */
export function progressLine(
  label: string,
  done: number,
  total: number | undefined,
  unit: Unit,
  columns: number,
): string {
  const amount = (value: number): string => (unit === "bytes" ? formatBytes(value) : value.toLocaleString("en-US"));
  const suffix = unit === "bytes" ? "" : ` ${unit}`;
  if (total === undefined || total <= 0) return fit(`${label}  ${amount(done)}${suffix}`, columns);
  const share = Math.min(1, done / total);
  const text = `${String(Math.floor(share * 100)).padStart(3)} %  ${amount(done)} of ${amount(total)}${suffix}`;
  const room = columns - 1 - label.length - text.length - 2;
  if (room < 8) return fit(`${label} ${text}`, columns);
  const width = Math.min(room, 30);
  const full = Math.round(share * width);
  return `${label} ${"━".repeat(full)}${"─".repeat(width - full)} ${text}`;
}

// The last column stays free: a line that fills it wraps on some terminals.
function fit(text: string, columns: number): string {
  return text.slice(0, Math.max(0, columns - 1));
}
