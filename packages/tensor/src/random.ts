/** A seeded generator: the same seed gives the same numbers everywhere. Not for secrets. */
export interface Random {
  /** Integer in [0, 2^32). */
  next(): number;
  /** Number in [0, 1) with 32 random bits. */
  uniform(): number;
  /** Integer in [0, bound), for `bound` up to 2^32. */
  below(bound: number): number;
  /** Standard normal. */
  normal(): number;
  /** `length` standard normals times `scale`, rounded to f32. */
  normals(length: number, scale?: number): Float32Array;
}

/** Four words of state from one seed (splitmix32 steps), so that neighbouring seeds start far apart. */
function expandSeed(seed: number): [number, number, number, number] {
  let state = (seed ^ Math.floor(seed / 2 ** 32)) | 0;
  const word = (): number => {
    state = (state + 0x9e3779b9) | 0;
    let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return z ^ (z >>> 15);
  };
  return [word(), word(), word(), word()];
}

/** xoshiro128** over `seed`, any integer up to 2^53. */
export function random(seed: number): Random {
  let [a, b, c, d] = expandSeed(seed);
  let spare: number | undefined;

  const next = (): number => {
    const scrambled = Math.imul(b, 5);
    const result = Math.imul((scrambled << 7) | (scrambled >>> 25), 9) >>> 0;
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = (d << 11) | (d >>> 21);
    return result;
  };
  const uniform = (): number => next() / 2 ** 32;
  // Box–Muller gives two normals at a time; 1 − u keeps the logarithm's argument above zero.
  const normal = (): number => {
    if (spare !== undefined) {
      const value = spare;
      spare = undefined;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
  return {
    next,
    uniform,
    below: (bound) => Math.floor(uniform() * bound),
    normal,
    normals: (length, scale = 1) => Float32Array.from({ length }, () => normal() * scale),
  };
}
