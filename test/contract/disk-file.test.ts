// The disk in a sparse file keeps the contract of the port.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDiskFile, FileDisk } from '#shared/providers/file/disk.ts'
import { diskSuite, SUITE_CAPACITY_BYTES } from './disk-suite.ts'

diskSuite('disk in a file', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'dormouse-disk-'))
  const path = join(folder, 'disk.img')
  createDiskFile(path, SUITE_CAPACITY_BYTES)
  return {
    capacityBytes: SUITE_CAPACITY_BYTES,
    open: (writable) => new FileDisk(path, { writable }),
    tellsAllocation: false,
    stop: () => rm(folder, { recursive: true, force: true }),
  }
})

diskSuite('disk in a file whose maker tells what is allocated', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'dormouse-disk-'))
  const path = join(folder, 'disk.img')
  createDiskFile(path, SUITE_CAPACITY_BYTES)
  const extents = [{ offsetBytes: 0, lengthBytes: SUITE_CAPACITY_BYTES }]
  return {
    capacityBytes: SUITE_CAPACITY_BYTES,
    open: (writable) => new FileDisk(path, { writable, extents }),
    tellsAllocation: true,
    stop: () => rm(folder, { recursive: true, force: true }),
  }
})
