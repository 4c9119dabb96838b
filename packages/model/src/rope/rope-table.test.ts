import { describe, expect, it } from "vitest";
import { longRopeAmplitude, ropeTable, yarnAmplitude } from "./rope-table.ts";

const plain = (contextLength = 64) => ropeTable({ theta: 10_000, rotaryDim: 8, scaling: { kind: "none" } }, contextLength);

describe("ropeTable", () => {
  it("is a geometric series without scaling", () => {
    expect([...plain().frequencies]).toEqual([1, 0.1, 0.01, 0.001].map(Math.fround));
    expect(plain().amplitude).toBe(1);
  });

  it("keeps fast rotations and interpolates slow ones (YaRN)", () => {
    const scaling = {
      kind: "yarn",
      factor: 4,
      originalContext: 64,
      betaFast: 32,
      betaSlow: 1,
      truncate: true,
      amplitude: yarnAmplitude(4),
    } as const;
    const { frequencies, amplitude } = ropeTable({ theta: 10_000, rotaryDim: 8, scaling }, 256);
    expect(frequencies[0]).toBe(1);
    expect(frequencies[3]).toBeCloseTo(0.001 / 4, 9);
    expect(amplitude).toBeCloseTo(1.1386294, 6);
  });

  // From Llama 3.1's published numbers: factor 8, low 1, high 4, 8192 positions, theta 500000, heads of 128.
  it("leaves Llama 3.1's short wavelengths alone and divides its long ones by 8", () => {
    const scaling = { kind: "llama3", factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 8192 } as const;
    const { frequencies } = ropeTable({ theta: 500_000, rotaryDim: 128, scaling }, 131_072);
    const base = ropeTable({ theta: 500_000, rotaryDim: 128, scaling: { kind: "none" } }, 8192).frequencies;
    const ratio = [...base].map((frequency, i) => frequency / (frequencies[i] ?? 0));
    expect(ratio.slice(0, 29).every((value) => value === 1)).toBe(true);
    expect(ratio.slice(35).every((value) => Math.abs(value - 8) < 1e-5)).toBe(true);
    for (const value of ratio.slice(29, 35)) expect(value).toSatisfy((v: number) => v > 1 && v < 8);
  });

  it("takes length-dependent scalings from the context, once", () => {
    const dynamic = { theta: 10_000, rotaryDim: 8, scaling: { kind: "dynamic", factor: 2, originalContext: 64 } } as const;
    expect(ropeTable(dynamic, 64)).toEqual(plain());
    expect(ropeTable(dynamic, 128).frequencies[3]).toBeLessThan(0.001);
    const scaling = { kind: "longrope", shortFactors: [1, 1, 1, 1], longFactors: [1, 2, 3, 4], originalContext: 64, amplitude: 1.25 } as const;
    expect(ropeTable({ theta: 10_000, rotaryDim: 8, scaling }, 64).frequencies[3]).toBeCloseTo(0.001, 9);
    expect(ropeTable({ theta: 10_000, rotaryDim: 8, scaling }, 65).frequencies[3]).toBeCloseTo(0.00025, 9);
  });

  it("has LongRoPE's amplitude of MiniCPM: 1 at the trained length", () => {
    expect(longRopeAmplitude(32_768, 32_768)).toBe(1);
    expect(longRopeAmplitude(131_072, 32_768)).toBeCloseTo(Math.sqrt(1 + Math.log(4) / Math.log(32_768)), 12);
  });
});
