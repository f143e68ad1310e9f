// What the VDDK stand-in really read and wrote, from its trace: also by a process that was killed and could not report it.

import { readFile } from 'node:fs/promises'

export type Area = { fromBytes: number; endBytes: number }

export class Trace {
  private readonly file: string
  private skipped = 0

  constructor(file: string) {
    this.file = file
  }

  /** Ignores everything in the trace so far. */
  async skip(): Promise<void> {
    this.skipped = (await this.lines()).length
  }

  /** Bytes of the calls that succeeded and began inside of the area. */
  async movedBytes(call: 'Read' | 'Write', { fromBytes, endBytes }: Area): Promise<number> {
    let moved = 0
    for (const line of (await this.lines()).slice(this.skipped)) {
      const [, name, offset, bytes] = /^(\w+) code=0 .*\boffset=(\d+) bytes=(\d+)/.exec(line) ?? []
      if (name === call && Number(offset) >= fromBytes && Number(offset) < endBytes) moved += Number(bytes)
    }
    return moved
  }

  private async lines(): Promise<string[]> {
    return (await readFile(this.file, 'utf8').catch(() => '')).split('\n')
  }
}
