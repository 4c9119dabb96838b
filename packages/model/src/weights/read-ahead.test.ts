import { setImmediate } from "node:timers/promises";
import { random } from "@infllm/tensor";
import type { UploadMemory } from "@infllm/tensor";
import { describe, expect, it } from "vitest";
import { PIECES_IN_MEMORY, readAhead } from "./read-ahead.ts";
import type { Piece } from "./read-ahead.ts";

const pieces: readonly Piece[] = Array.from({ length: 23 }, (_, i) => {
  const from = 3 * (i % 5);
  const rows = 1 + (i % 3);
  return { name: `tensor ${Math.floor(i / 5)}`, from, to: from + rows, bytes: 8 * rows };
});

/** A source whose reads end when they are told to. */
function manual(fail: ReadonlyMap<number, Error> = new Map()) {
  const begun: { readonly piece: Piece; readonly memory: Uint8Array; readonly end: () => void }[] = [];
  let running = 0;
  const readRows = async (name: string, from: number, to: number, into = new Uint8Array()): Promise<Uint8Array> => {
    const piece = pieces.find((each) => each.name === name && each.from === from && each.to === to);
    if (piece === undefined) throw new Error(`${name} ${from} ${to}`);
    const at = begun.length;
    running++;
    await new Promise<void>((resolve) => begun.push({ piece, memory: into, end: resolve }));
    running--;
    const error = fail.get(at);
    if (error !== undefined) throw error;
    return into.subarray(0, piece.bytes).fill(pieces.indexOf(piece));
  };
  return { source: { readRows }, begun, running: () => running };
}

/** The same, with reads that end by themselves, each after some others. */
function shuffled(fail?: ReadonlyMap<number, Error>) {
  const reads = manual(fail);
  const delays = random(2);
  const readRows: typeof reads.source.readRows = async (...args) => {
    const read = reads.source.readRows(...args);
    const { end } = reads.begun.at(-1) ?? {};
    void (async () => {
      for (let turns = delays.below(6); turns > 0; turns--) await setImmediate();
      end?.();
    })();
    return read;
  };
  return { ...reads, source: { readRows } };
}

describe("pieces that are read ahead", () => {
  it("come in order, whole, and stay until the next is asked for, whichever read ends first", async () => {
    const { source, begun } = shuffled();
    let i = 0;
    for await (const { piece, data } of readAhead(source, pieces)) {
      expect(piece).toBe(pieces[i]);
      await setImmediate();
      expect([...data]).toEqual(new Array(piece.bytes).fill(i++));
    }
    expect(begun.map(({ piece }) => piece)).toEqual(pieces);
  });

  it("never are more than a few, in memory that is used again", async () => {
    const { source, begun } = shuffled();
    let taken = 0;
    for await (const { data } of readAhead(source, pieces)) {
      expect(data.length).toBeGreaterThan(0);
      // The one in use, and those ahead of it.
      expect(begun).toHaveLength(Math.min(pieces.length, taken + PIECES_IN_MEMORY));
      taken++;
    }
    const memories = new Set(begun.map(({ memory }) => memory.buffer));
    expect(memories.size).toBe(PIECES_IN_MEMORY);
    expect(new Set([...memories].map(({ byteLength }) => byteLength))).toEqual(new Set([24]));
  });

  it("may lie elsewhere, and may be none or few", async () => {
    const own = { readRows: async (name: string) => new TextEncoder().encode(name) };
    for (const count of [0, 1, PIECES_IN_MEMORY, PIECES_IN_MEMORY + 1]) {
      const seen: string[] = [];
      for await (const { data } of readAhead(own, pieces.slice(0, count))) seen.push(new TextDecoder().decode(data));
      expect(seen).toEqual(pieces.slice(0, count).map(({ name }) => name));
    }
  });
});

describe("memory that is fetched from later", () => {
  /** Memory whose content is fetched in the order of `use`, some turns later. */
  function late(problem?: Error) {
    const turns = random(8);
    const events: string[] = [];
    const copies: Uint8Array[] = [];
    let line = Promise.resolve();
    let made = 0;
    const inUse = new Map<ArrayBufferLike, Promise<void>>();
    const memory = (bytes: number): UploadMemory => {
      const own = new Uint8Array(bytes);
      const name = String(made++);
      return {
        bytes: own,
        async fetched() {
          await inUse.get(own.buffer);
          if (problem !== undefined && inUse.has(own.buffer)) throw problem;
        },
        release: () => void events.push(`release ${name}`),
      };
    };
    const use = (data: Uint8Array): void => {
      const wait = turns.below(4);
      line = line.then(async () => {
        for (let i = 0; i < wait; i++) await setImmediate();
        copies.push(data.slice());
      });
      inUse.set(data.buffer, line);
    };
    return { memory, use, events, copies };
  }

  it("is not read into before, and is given back when all was fetched", async () => {
    const { memory, use, events, copies } = late();
    const { source, begun } = shuffled();
    for await (const { data } of readAhead(source, pieces, { memory })) use(data);
    expect(events).toEqual(["release 0", "release 1", "release 2", "release 3"]);
    expect(copies.map((copy) => [...copy])).toEqual(pieces.map(({ bytes }, i) => new Array(bytes).fill(i)));
    expect(begun.map(({ piece }) => piece)).toEqual(pieces);
  });

  it("is given back, too, when the device is lost or grants too little", async () => {
    const lost = late(new Error("lost"));
    const { source, running } = shuffled();
    const loading = (async () => {
      for await (const { data } of readAhead(source, pieces, { memory: lost.memory })) lost.use(data);
    })();
    await expect(loading).rejects.toThrow("lost");
    expect(lost.events).toHaveLength(PIECES_IN_MEMORY);
    expect(running()).toBe(0);

    const little = late();
    let granted = 0;
    const memory = (bytes: number): UploadMemory => {
      if (granted++ === 2) throw new Error("no more");
      return little.memory(bytes);
    };
    const none = manual();
    await expect(readAhead(none.source, pieces, { memory }).next()).rejects.toThrow("no more");
    expect(little.events).toEqual(["release 0", "release 1"]);
    expect(none.begun).toHaveLength(0);
  });
});

describe("nothing is under way any more, and nothing else is read, when it ends", () => {
  it("with a read that failed: thrown in its turn, though it failed first and another after it", async () => {
    const errors = [new Error("the third"), new Error("the fourth")] as const;
    const { source, begun, running } = manual(new Map([[2, errors[0]], [3, errors[1]]]));
    const seen: Piece[] = [];
    const loading = (async () => {
      for await (const { piece } of readAhead(source, pieces)) seen.push(piece);
    })();
    await setImmediate();
    begun[3]?.end();
    begun[2]?.end();
    // Long enough for a rejection that nobody handles to be noticed.
    for (let i = 0; i < 10; i++) await setImmediate();
    begun[0]?.end();
    await setImmediate();
    expect(seen).toEqual(pieces.slice(0, 1));
    begun[1]?.end();
    await setImmediate();
    for (const { end } of begun.slice(4)) end();
    await expect(loading).rejects.toBe(errors[0]);
    expect(seen).toEqual(pieces.slice(0, 2));
    expect(running()).toBe(0);
    expect(begun.length).toBeLessThanOrEqual(2 + PIECES_IN_MEMORY);
  });

  it("with a source that throws before it reads", async () => {
    const source = {
      readRows(name: string): Promise<Uint8Array> {
        if (name === "tensor 1") throw new Error("no tensor 1");
        return Promise.resolve(new Uint8Array(8));
      },
    };
    const seen: string[] = [];
    const loading = (async () => {
      for await (const { piece } of readAhead(source, pieces)) seen.push(piece.name);
    })();
    await expect(loading).rejects.toThrow("no tensor 1");
    expect(seen).toEqual(new Array(5).fill("tensor 0"));
  });

  it("with an error of who takes the pieces, which is not lost behind one of a read", async () => {
    const { source, begun, running } = shuffled(new Map([[2, new Error("of a read")]]));
    const loading = (async () => {
      for await (const { piece } of readAhead(source, pieces)) if (piece === pieces[1]) throw new Error("of the second");
    })();
    await expect(loading).rejects.toThrow("of the second");
    expect(running()).toBe(0);
    expect(begun).toHaveLength(1 + PIECES_IN_MEMORY);
  });

  it("with an abort, before the first read, while one is waited for, or between two", async () => {
    const reason = new Error("enough");
    const none = manual();
    await expect(readAhead(none.source, pieces, { signal: AbortSignal.abort(reason) }).next()).rejects.toBe(reason);
    expect(none.begun).toHaveLength(0);

    const slow = manual();
    const stop = new AbortController();
    const first = readAhead(slow.source, pieces, { signal: stop.signal }).next();
    await setImmediate();
    stop.abort(reason);
    for (const { end } of slow.begun) end();
    await expect(first).rejects.toBe(reason);
    expect(slow.running()).toBe(0);
    expect(slow.begun).toHaveLength(PIECES_IN_MEMORY);

    const quick = shuffled();
    const late = new AbortController();
    const loading = (async () => {
      for await (const { piece } of readAhead(quick.source, pieces, { signal: late.signal })) if (piece === pieces[4]) late.abort(reason);
    })();
    await expect(loading).rejects.toBe(reason);
    expect(quick.running()).toBe(0);
    expect(quick.begun).toHaveLength(4 + PIECES_IN_MEMORY);
  });
});
