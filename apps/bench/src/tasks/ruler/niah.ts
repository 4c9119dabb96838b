/** RULER's eight needle tasks, as synthetic.yaml of NVIDIA/RULER sets them. */
import type { GenerationTask } from "../task.ts";
import { needleTask } from "./needles.ts";
import type { NeedleSettings } from "./needles.ts";

const one = { keys: 1, values: 1, asked: 1 };
const words = { family: "ruler", keys: "words", values: "numbers" } as const;

const settings: readonly NeedleSettings[] = [
  { ...words, name: "niah_single_1", title: "One number in repeated noise (pass key)", haystack: "noise", count: one },
  { ...words, name: "niah_single_2", title: "One number in prose", haystack: "prose", count: one },
  { ...words, name: "niah_single_3", title: "One UUID in prose", haystack: "prose", values: "uuids", count: one },
  { ...words, name: "niah_multikey_1", title: "One of four keys in prose", haystack: "prose", count: { ...one, keys: 4 } },
  { ...words, name: "niah_multikey_2", title: "One key among nothing but needles", haystack: "needles", count: one },
  { ...words, name: "niah_multikey_3", title: "One UUID key among nothing but UUIDs", haystack: "needles", keys: "uuids", values: "uuids", count: one },
  { ...words, name: "niah_multivalue", title: "Four values of one key in prose", haystack: "prose", count: { ...one, values: 4 } },
  { ...words, name: "niah_multiquery", title: "Four keys asked for at once, in prose", haystack: "prose", count: { keys: 4, values: 1, asked: 4 } },
];

export const niahTasks: readonly GenerationTask[] = settings.map(needleTask);
