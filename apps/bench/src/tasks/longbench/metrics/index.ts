import { classification } from "./classification.ts";
import { editSimilarity } from "./edit-similarity.ts";
import { f1, f1Chinese } from "./f1.ts";
import type { Metric } from "./metric.ts";
import { count, retrieval } from "./numbers.ts";
import { rougeL, rougeLChinese } from "./rouge.ts";

/** Metrics by their names in `data/longbench.json`, with the names that reports print. */
export const metrics = {
  "f1": { title: "F1", measure: f1 },
  "f1-zh": { title: "F1 (jieba)", measure: f1Chinese },
  "rouge-l": { title: "ROUGE-L", measure: rougeL },
  "rouge-l-zh": { title: "ROUGE-L (jieba)", measure: rougeLChinese },
  "classification": { title: "accuracy of classes", measure: classification },
  "retrieval": { title: "accuracy of paragraph", measure: retrieval },
  "count": { title: "accuracy of count", measure: count },
  "edit-similarity": { title: "edit similarity", measure: editSimilarity },
} satisfies Record<string, { readonly title: string; readonly measure: Metric }>;

export type MetricName = keyof typeof metrics;
