/** A picture of which blocks of the context a query chose, one character a block. */
export interface BlockMap {
  /** For each block, how many of the selections contain it. */
  readonly counts: readonly number[];
  /** Selections in all: layers × KV heads. */
  readonly selections: number;
  readonly blockSize: number;
  /** Blocks to point at. */
  readonly marked: readonly number[];
}

interface Characters {
  readonly none: string;
  readonly few: string;
  readonly most: string;
  readonly all: string;
}

const unicode: Characters = { none: "·", few: "░", most: "▓", all: "█" };
const ascii: Characters = { none: ".", few: "-", most: "+", all: "#" };

/** Whether the terminal can be trusted with block characters. */
export function showsUnicode(env: Readonly<Record<string, string | undefined>>): boolean {
  const locale = env["LC_ALL"] || env["LC_CTYPE"] || env["LANG"] || "";
  return process.platform === "win32" ? env["WT_SESSION"] !== undefined : /utf-?8/i.test(locale);
}

/** Lines of at most `columns` characters, each led by the position of its first token, and a legend. */
export function drawBlocks(map: BlockMap, columns: number, withUnicode: boolean): string {
  const characters = withUnicode ? unicode : ascii;
  const labels = String((map.counts.length * map.blockSize).toLocaleString("en-US")).length;
  const perLine = blocksPerLine(columns - labels - 2, map.counts.length);
  const lines: string[] = [];
  for (let from = 0; from < map.counts.length; from += perLine) {
    const label = (from * map.blockSize).toLocaleString("en-US").padStart(labels);
    const part = map.counts.slice(from, from + perLine);
    lines.push(`${label}  ${part.map((count) => character(count, map.selections, characters)).join("")}`);
    const marks = part.map((_, index) => (map.marked.includes(from + index) ? "^" : " ")).join("").trimEnd();
    if (marks !== "") lines.push(`${" ".repeat(labels)}  ${marks}`);
  }
  return [...lines, ...legend(map, characters, columns)].map((line) => `${line}\n`).join("");
}

// Whole multiples of 16 blocks make the positions at the left round numbers.
function blocksPerLine(room: number, blocks: number): number {
  const most = Math.max(16, Math.floor(room / 16) * 16);
  return Math.min(most, 128, Math.max(16, Math.ceil(blocks / 16) * 16));
}

function character(count: number, selections: number, characters: Characters): string {
  if (count === 0) return characters.none;
  if (count === selections) return characters.all;
  return count * 2 >= selections ? characters.most : characters.few;
}

function legend(map: BlockMap, characters: Characters, columns: number): string[] {
  const parts = [
    `${characters.all} chosen by every layer`,
    `${characters.most} by half or more`,
    `${characters.few} by fewer`,
    `${characters.none} not read`,
    ...(map.marked.length > 0 ? ["^ the fact"] : []),
    `one character = ${map.blockSize} tokens`,
  ];
  const lines: string[] = [];
  for (const part of parts) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 3 + part.length <= columns) lines[lines.length - 1] = `${last}   ${part}`;
    else lines.push(part);
  }
  return lines;
}
