import { FormatError } from "@infllm/tensor";

/**
 * The text in a Python pickle of one string, which is how LiveCodeBench packs its hidden tests. Any other pickle is
 * refused: pickles can hold instructions, and none are carried out here.
 */
export function unpickleText(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  let text: string | undefined;
  const take = (length: number): string => {
    if (at + length > bytes.length) throw refusal("it ends too early");
    const part = new TextDecoder().decode(bytes.subarray(at, at + length));
    at += length;
    return part;
  };
  while (at < bytes.length) {
    const operation = bytes[at++];
    if (operation === 0x80) at += 1; // PROTO
    else if (operation === 0x95) at += 8; // FRAME
    else if (operation === 0x94) continue; // MEMOIZE
    else if (operation === 0x71) at += 1; // BINPUT
    else if (operation === 0x8c) text = take(view.getUint8(at++)); // SHORT_BINUNICODE
    else if (operation === 0x58) text = take(view.getUint32((at += 4) - 4, true)); // BINUNICODE
    else if (operation === 0x8d) text = take(Number(view.getBigUint64((at += 8) - 8, true))); // BINUNICODE8
    else if (operation === 0x2e && text !== undefined) return text; // STOP
    else throw refusal(`it has the instruction 0x${(operation ?? 0).toString(16)}`);
  }
  throw refusal("it has no end");
}

function refusal(why: string): FormatError {
  return new FormatError(`A pickle of hidden tests is not the one string that LiveCodeBench writes: ${why}. Download the file again.`);
}
