/** Draws which blocks each layer and KV head read: rows are layers and heads, columns are blocks of the text. */
import type { Seen } from "../engine/protocol.ts";

export interface MapContent {
  /** Layers × KV heads. */
  readonly rows: number;
  readonly kvHeads: number;
  readonly blocks: number;
  readonly blockSize: number;
  /** Tokens that the model has read so far. */
  readonly read: number;
  /** What the last query attended to; undefined while the prompt is being read. */
  readonly seen: Seen | undefined;
  /** Blocks to point at. */
  readonly marked: readonly number[];
  /** The cell under the visitor's hand. */
  readonly cursor: { readonly block: number; readonly row: number | undefined } | undefined;
}

/** Room for the marks below the cells, in CSS pixels. */
const MARKS = 12;

/** Column and row of a point within the canvas, in CSS pixels. */
export function cellAt(canvas: HTMLCanvasElement, content: MapContent, x: number, y: number): { block: number; row: number } {
  const { clientWidth, clientHeight } = canvas;
  const clamp = (value: number, most: number): number => Math.min(most, Math.max(0, Math.floor(value)));
  return {
    block: clamp((x / clientWidth) * content.blocks, content.blocks - 1),
    row: clamp((y / (clientHeight - MARKS)) * content.rows, content.rows - 1),
  };
}

/** Whether the layer and head of `row` read `block`; undefined while the prompt is being read. */
export function isRead({ seen, kvHeads, blockSize }: MapContent, block: number, row: number): boolean | undefined {
  if (seen === undefined) return undefined;
  if (seen.selection === undefined) return block * blockSize < seen.length;
  return seen.selection.layers[Math.floor(row / kvHeads)]?.[row % kvHeads]?.includes(block) ?? false;
}

export function drawMap(canvas: HTMLCanvasElement, content: MapContent): void {
  const scale = devicePixelRatio;
  const [width, height] = [Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale)];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  if (context === null) return;
  context.clearRect(0, 0, width, height);
  if (content.blocks === 0) return;
  const colours = coloursOf(canvas);
  const bottom = height - MARKS * scale;
  const column = width / content.blocks;
  const row = bottom / content.rows;
  const gapX = column >= 4 * scale ? scale : 0;
  const gapY = row >= 5 * scale ? scale : 0;

  for (let block = 0; block < content.blocks; block++) {
    const left = Math.round(block * column);
    const right = Math.max(left + 1, Math.round((block + 1) * column) - gapX);
    for (let r = 0; r < content.rows; r++) {
      const top = Math.round(r * row);
      const below = Math.max(top + 1, Math.round((r + 1) * row) - gapY);
      fill(context, content, colours, block, r);
      context.fillRect(left, top, right - left, below - top);
    }
  }
  context.globalAlpha = 1;
  for (const block of content.marked) mark(context, (block + 0.5) * column, bottom, scale, colours.ink);
  if (content.cursor !== undefined) outline(context, content.cursor, { column, row, bottom, scale, colour: colours.ink });
}

interface Colours {
  readonly accent: string;
  readonly skipped: string;
  readonly ink: string;
}

/** The page's colours, which are registered properties, so that they come resolved for light or dark. */
function coloursOf(element: HTMLElement): Colours {
  const style = getComputedStyle(element);
  return { accent: style.getPropertyValue("--accent"), skipped: style.getPropertyValue("--skipped"), ink: style.getPropertyValue("--ink") };
}

/** Full where the last query read, faint where the prompt was passed so far. */
function fill(context: CanvasRenderingContext2D, content: MapContent, colours: Colours, block: number, row: number): void {
  const read = isRead(content, block, row);
  const passed = read ?? block * content.blockSize < content.read;
  context.fillStyle = passed ? colours.accent : colours.skipped;
  context.globalAlpha = passed && read === undefined ? 0.28 : 1;
}

function mark(context: CanvasRenderingContext2D, x: number, top: number, scale: number, colour: string): void {
  context.fillStyle = colour;
  context.beginPath();
  context.moveTo(x, top + 2 * scale);
  context.lineTo(x - 5 * scale, top + 11 * scale);
  context.lineTo(x + 5 * scale, top + 11 * scale);
  context.fill();
}

interface Frame {
  readonly column: number;
  readonly row: number;
  readonly bottom: number;
  readonly scale: number;
  readonly colour: string;
}

function outline(context: CanvasRenderingContext2D, cursor: NonNullable<MapContent["cursor"]>, frame: Frame): void {
  const { column, row, bottom, scale, colour } = frame;
  context.strokeStyle = colour;
  context.lineWidth = 1.5 * scale;
  const left = Math.max(scale, cursor.block * column - scale);
  context.strokeRect(left, scale, Math.max(column, 3 * scale), bottom - 2 * scale);
  if (cursor.row === undefined) return;
  context.lineWidth = 2.5 * scale;
  context.strokeRect(left, cursor.row * row, Math.max(column, 3 * scale), row);
}
