/** Which kernel samples, against a fake driver: a cluster a row where that is faster and its logits fit. */
import { beforeAll, beforeEach, expect, it } from "vitest";
import { buildFake, loadFake } from "./fake-driver.ts";
import type { Fake } from "./fake-driver.ts";

let fake: Fake;

beforeAll(async () => {
  fake = await loadFake(buildFake());
});
beforeEach(() => fake.reset());

async function launches(rows: number, vocabulary: number): Promise<string[]> {
  const backend = fake.open();
  const before = fake.log().length;
  const logits = backend.allocate("f32", [rows, vocabulary]);
  backend.neural.sample({ logits, settings: backend.allocate("f32", [rows, 4]), out: backend.allocate("i32", [rows]) });
  const lines = fake.log().slice(before).filter((line) => line.startsWith("launch "));
  await backend.close();
  return lines;
}

it("gives a row a cluster, which keeps 1024 of every 16384 logits", async () => {
  expect(await launches(1, 4096)).toEqual([expect.stringMatching(/^launch sample_cluster \[16 1 1\] x \[1024 1 1\] shared 73728 overlap cluster 16$/)]);
  expect(await launches(24, 200_000)).toEqual([expect.stringMatching(/^launch sample_cluster \[384 1 1\] x \[1024 1 1\] shared 122880 overlap cluster 16$/)]);
});

it.each([
  ["few logits", 1, 4095],
  ["many rows", 25, 5000],
  ["more logits than fit", 1, 3_000_000],
])("%s: a block of threads a row", async (_, rows, vocabulary) => {
  expect(await launches(rows, vocabulary)).toEqual([expect.stringMatching(`^launch sample \\[${rows} 1 1\\] x \\[1024 1 1\\] shared 69632 overlap$`)]);
});

it("before Hopper: a block of threads a row", async () => {
  fake.device(1, 80, 2 ** 34);
  expect(await launches(1, 200_000)).toEqual([expect.stringMatching(/^launch sample \[1 1 1\]/)]);
});
