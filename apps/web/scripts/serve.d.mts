export function serve(options: {
  readonly port?: number;
  readonly host?: string;
  readonly folder?: string;
}): Promise<{ readonly url: string; close(): Promise<void> }>;
