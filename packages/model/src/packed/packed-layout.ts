/** What the ways to pack 4-bit weights have in common; one file each in `layouts/`. */

/** A matrix `[rows, columns]` (`[out, in]`), its columns in groups. */
export interface PackedShape {
  readonly rows: number;
  readonly columns: number;
  readonly groups: number;
}

/** A tensor of a packed module: the part of its name after the module's, and its shape. */
export interface PackedPart {
  /** The first of these that is there. */
  readonly names: readonly string[];
  shape(matrix: PackedShape): readonly number[];
}

/** Where quants in natural order go: element 8w + i of a row in nibble i of its word w. */
export interface RowWords {
  readonly words: Uint32Array;
  /** Words from one row to the next. */
  readonly stride: number;
  /** 1: a word is left free before each sixteen, for scale and zero point. */
  readonly gap: 0 | 1;
}

/** Words between gaps. */
export const GAP_WORDS = 16;

/** Words before word `w` of a row. */
export function wordPlace(w: number, gap: 0 | 1): number {
  return gap === 0 ? w : w + (w >> 4) + 1;
}

export interface PackedLayout {
  /** i32, eight quants each. A module that has it is packed. */
  readonly quants: PackedPart;
  /** Rows and columns of the matrix from the shape of `quants`; undefined where that is no such shape. */
  matrix(quants: readonly number[]): { readonly rows: number; readonly columns: number } | undefined;
  readonly scales: PackedPart;
  /** Absent, or not among the tensors: every zero point is 8. */
  readonly zeros?: PackedPart & {
    readonly required: boolean;
    /** `[groups, rows]`, 0…15, from what is stored. */
    points(stored: Uint32Array, matrix: PackedShape): Uint8Array;
  };
  /** i32 `[columns]`: the group of each column. */
  readonly order?: string;
  /** Rows that are stored together: `rowWords` is asked for whole ones. */
  readonly rowStep: number;
  /** Writes the rows `[from, to)`, the first at the start of `out`. */
  rowWords(quants: Uint32Array, matrix: PackedShape, from: number, to: number, out: RowWords): void;
  /** f16 bits `[groups, rows]` from what is stored. */
  groupScales(stored: Uint16Array, matrix: PackedShape): Uint16Array;
}

/** Nibbles along the last axis to bytes; nibble i of word w is number `8w + order[i]`. */
export function unpackNibbles(words: Uint32Array, order: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(words.length * 8);
  words.forEach((word, w) => {
    for (const [i, place] of order.entries()) bytes[8 * w + place] = (word >>> (4 * i)) & 15;
  });
  return bytes;
}

export const naturalOrder: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 7];

/** `[a, b]` to `[b, a]`. */
export function transposed<Numbers extends Uint16Array | Uint8Array>(values: Numbers, a: number, b: number, out: Numbers): Numbers {
  for (let i = 0; i < a; i++) for (let j = 0; j < b; j++) out[j * a + i] = values[i * b + j] as number;
  return out;
}
