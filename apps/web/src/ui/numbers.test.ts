import { expect, it } from "vitest";
import { duration, parameters, plural, rate, times } from "./numbers.ts";

it("writes durations, rates and ratios as people read them", () => {
  expect([0.042, 8.46, 99.9, 125].map(duration)).toEqual(["0.04 s", "8.5 s", "99.9 s", "2 min 5 s"]);
  expect([rate(1090, 1), rate(5, 2), rate(0, 1), rate(4, 0)]).toEqual(["1,090 tokens/s", "2.5 tokens/s", "–", "–"]);
  expect([2.14, 12.6].map(times)).toEqual(["2.1×", "13×"]);
  expect([10_227_968, 1.24e9].map(parameters)).toEqual(["10M parameters", "1.2B parameters"]);
  expect([plural(1, "block"), plural(4608, "token")]).toEqual(["1 block", "4,608 tokens"]);
});
