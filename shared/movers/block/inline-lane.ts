// A lane without a thread: it does the same work in the calling thread. Tests use it with disks in memory.

import type { Disk } from '#shared/ports/disk.ts'
import type { Lane, LaneSetup } from './lane.ts'
import { LaneWork } from './lane-work.ts'

export function inlineLane(disk: Disk, setup: LaneSetup): Lane {
  const work = new LaneWork(disk, setup, (pack) => lane.onPack(pack))
  let last: Promise<unknown> = Promise.resolve()
  const inOrder = <T>(act: () => T | Promise<T>): Promise<T> => {
    const next = last.then(act)
    last = next.catch(() => {})
    return next
  }
  const lane: Lane = {
    onPack: () => {},
    returnBuffer: (buffer) => work.returnBuffer(buffer),
    allocated: (offsetBytes, lengthBytes) => inOrder(() => work.allocated(offsetBytes, lengthBytes)),
    scan: (batch, chunks) => inOrder(() => work.scan(batch, chunks)),
    store: (batch, positions) => inOrder(() => work.store(batch, positions)),
    flushPack: () => inOrder(() => work.flushPack()),
    write: (part, onTaken) => inOrder(() => work.write(part)).finally(onTaken),
    writeZeros: (offsetBytes, lengthBytes) => inOrder(() => work.writeZeros(offsetBytes, lengthBytes)),
    flushDisk: () => inOrder(() => work.flushDisk()),
  }
  return lane
}
