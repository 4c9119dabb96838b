/** The picture of block selection: hovering, touching or arrow keys show the text of a block. */
import type { LoadedModel, Seen } from "../engine/protocol.ts";
import { cellAt, drawMap, isRead } from "./block-map.ts";
import type { MapContent } from "./block-map.ts";
import { byId, make } from "./elements.ts";
import { count, plural } from "./numbers.ts";

export class BlockPicture {
  readonly #map = byId("picture", HTMLDivElement);
  readonly #canvas = byId("map", HTMLCanvasElement);
  readonly #head = byId("block-head", HTMLParagraphElement);
  readonly #text = byId("block-text", HTMLQuoteElement);
  #content: MapContent = { rows: 1, kvHeads: 1, blocks: 0, blockSize: 64, read: 0, seen: undefined, marked: [], cursor: undefined };
  #blocks: readonly string[] = [];
  /** Where the marked text lies among all characters. */
  #range: readonly [from: number, to: number] = [0, 0];
  #drawing = false;

  constructor() {
    new ResizeObserver(() => this.draw()).observe(this.#canvas);
    const point = ({ offsetX, offsetY }: PointerEvent): void => this.#pointAt(cellAt(this.#canvas, this.#content, offsetX, offsetY));
    this.#map.addEventListener("pointermove", point);
    this.#map.addEventListener("pointerdown", point);
    this.#map.addEventListener("keydown", (event) => this.#onKey(event));
    this.#map.addEventListener("focus", () => this.#pointAt(this.#content.cursor ?? { block: 0, row: undefined }));
  }

  /** A prompt that will be read by `model`. @param marked text to point at */
  begin(model: LoadedModel, blocks: readonly string[], marked: string | undefined): void {
    this.#map.dataset["drawn"] = "reading";
    byId("map-empty", HTMLParagraphElement).hidden = true;
    const { layers, kvHeads, blockSize } = model;
    this.#content = { ...this.#content, rows: layers * kvHeads, kvHeads, blockSize, read: 0, seen: undefined, cursor: undefined };
    this.#setBlocks(blocks, marked);
    byId("axis-layers", HTMLParagraphElement).textContent = kvHeads === 1 ? `${layers} layers` : `${layers} layers × ${kvHeads} KV heads`;
    this.#head.textContent = "Point at a block, or use the arrow keys, to read its text.";
    this.#text.replaceChildren();
    this.draw();
  }

  /** Points at a block worth reading, unless the visitor points at one: the fact, else the most read of those not always read. */
  suggest(): void {
    const { cursor, blocks, rows, marked } = this.#content;
    if (cursor !== undefined || blocks === 0) return;
    const readers = (block: number): number => Array.from({ length: rows }, (_, row) => isRead(this.#content, block, row)).filter(Boolean).length;
    const best = Array.from({ length: blocks }, (_, block) => block)
      .filter((block) => readers(block) < rows)
      .reduce((most, block) => (readers(block) > readers(most) ? block : most), 0);
    this.#pointAt({ block: marked[0] ?? best, row: undefined });
  }

  /** So many tokens of the prompt are in the cache. */
  read(tokens: number): void {
    this.#content = { ...this.#content, read: tokens };
    this.draw();
  }

  /** @param blocks the text again, where the answer has made it longer */
  see(seen: Seen, blocks?: readonly string[], marked?: string): void {
    const needed = Math.ceil(seen.length / this.#content.blockSize);
    this.#content = { ...this.#content, seen, blocks: Math.max(this.#content.blocks, needed) };
    if (blocks !== undefined) this.#setBlocks(blocks, marked);
    this.#map.dataset["drawn"] = seen.selection === undefined ? "dense" : "sparse";
    this.#describe();
    this.draw();
  }

  draw(): void {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      drawMap(this.#canvas, this.#content);
    });
  }

  #setBlocks(blocks: readonly string[], marked: string | undefined): void {
    this.#blocks = blocks;
    const all = blocks.join("");
    const at = marked === undefined ? -1 : all.indexOf(marked);
    this.#range = at < 0 ? [0, 0] : [at, at + (marked ?? "").length];
    byId("legend-fact", HTMLSpanElement).hidden = at < 0;
    const found = blocks.map((_, block) => block).filter((block) => this.#markIn(block) !== undefined);
    this.#content = { ...this.#content, blocks: blocks.length, marked: found };
    this.#map.setAttribute("aria-valuemax", String(blocks.length));
    byId("axis-title", HTMLSpanElement).textContent = `${plural(blocks.length, "block")} of ${this.#content.blockSize} tokens`;
  }

  /** The part of a block's text that is marked. */
  #markIn(block: number): readonly [from: number, to: number] | undefined {
    const text = this.#blocks[block] ?? "";
    const start = this.#blocks.slice(0, block).reduce((sum, { length }) => sum + length, 0);
    const from = Math.max(0, this.#range[0] - start);
    const to = Math.min(text.length, this.#range[1] - start);
    return from < to ? [from, to] : undefined;
  }

  #onKey(event: KeyboardEvent): void {
    const { cursor, blocks, rows } = this.#content;
    if (blocks === 0) return;
    const { block, row } = cursor ?? { block: 0, row: undefined };
    const move = (by: number) => ({ block: Math.min(blocks - 1, Math.max(0, block + by)), row });
    const turn = (by: number) => ({ block, row: Math.min(rows - 1, Math.max(0, (row ?? -1) + by)) });
    const moves: Readonly<Record<string, () => { block: number; row: number | undefined }>> = {
      ArrowLeft: () => move(-1),
      ArrowRight: () => move(1),
      PageUp: () => move(-10),
      PageDown: () => move(10),
      Home: () => move(-blocks),
      End: () => move(blocks),
      ArrowUp: () => turn(-1),
      ArrowDown: () => turn(1),
    };
    const next = moves[event.key]?.();
    if (next === undefined) return;
    event.preventDefault();
    this.#pointAt(next);
  }

  #pointAt(cursor: { readonly block: number; readonly row: number | undefined }): void {
    if (this.#content.blocks === 0) return;
    this.#content = { ...this.#content, cursor };
    this.#describe();
    this.draw();
  }

  #describe(): void {
    const { cursor, blockSize, rows, kvHeads } = this.#content;
    if (cursor === undefined) return;
    const { block, row } = cursor;
    const from = block * blockSize;
    const title = `Block ${count(block + 1)}`;
    const tokens = `tokens ${count(from)} to ${count(from + blockSize - 1)}`;
    const all = Array.from({ length: rows }, (_, each) => isRead(this.#content, block, each));
    const readers = all.filter((read) => read === true).length;
    const who = kvHeads === 1 ? "layers" : "layers and heads";
    const readBy = all[0] === undefined ? "" : `read by ${readers === rows ? `all ${rows}` : `${readers} of ${rows}`} ${who}`;
    const here = row === undefined || all[row] === undefined ? "" : `${this.#rowName(row)}: ${all[row] ? "read" : "not read"}`;
    this.#head.replaceChildren(make("strong", {}, title), [tokens, readBy, here].filter(Boolean).join(", "));
    const text = this.#blocks[block] ?? "";
    this.#text.replaceChildren(...this.#markedText(block, text));
    this.#map.setAttribute("aria-valuenow", String(block + 1));
    this.#map.setAttribute("aria-valuetext", `${[title, tokens, readBy, here].filter(Boolean).join(", ")}: ${text}`);
  }

  #rowName(row: number): string {
    const { kvHeads } = this.#content;
    const layer = `layer ${Math.floor(row / kvHeads) + 1}`;
    return kvHeads === 1 ? layer : `${layer}, KV head ${(row % kvHeads) + 1}`;
  }

  #markedText(block: number, text: string): (Node | string)[] {
    const marked = this.#markIn(block);
    if (marked === undefined) return [text];
    const [from, to] = marked;
    return [text.slice(0, from), make("mark", {}, text.slice(from, to)), text.slice(to)];
  }
}
