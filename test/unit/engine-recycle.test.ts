// Stores lend buffers and reuse them: after the engine has given a buffer back, it must not read it any more.

import { randomBytes } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KiB } from '#shared/kernel/units.ts'
import type { ObjectStore } from '#shared/ports/object-store.ts'
import { MemoryDisk, MemoryDiskContent } from '#shared/providers/memory/disk.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { bytesOf, EngineWorld } from '#test/support/engine-world.ts'

const test = suite('engine: recycled buffers')

/** Answers with Buffers, as the S3 store does, and overwrites those that are given back. */
class LendingStore extends MemoryObjectStore implements ObjectStore {
  override async get(key: string): Promise<Uint8Array | undefined> {
    return asBuffer(await super.get(key))
  }

  override async getRange(key: string, offset: number, length: number): Promise<Uint8Array | undefined> {
    return asBuffer(await super.getRange(key, offset, length))
  }
}

function asBuffer(bytes: Uint8Array | undefined): Buffer | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes)
}

test('a restore reads nothing that it gave back', async () => {
  const world = await EngineWorld.create(new LendingStore())
  const content = new MemoryDiskContent(512 * KiB, 2 * KiB)
  const disk = new MemoryDisk(content)
  disk.write(0, randomBytes(512 * KiB))
  const packs = { packBytes: 1024 * KiB }
  const parentRoot = await world.backup(content, 's1', packs)
  // The beginning and the end of the first backup's pack are still needed: two requests for one pack.
  disk.write(128 * KiB, randomBytes(256 * KiB))
  const root = await world.backup(content, 's2', { ...packs, parentRoot })
  const target = new MemoryDiskContent(512 * KiB)
  const outcome = await world.restoreSlice(target, root, { recycle: (bytes: Uint8Array) => bytes.fill(0xff) })
  assert.is(outcome.state, 'done')
  assert.ok(bytesOf(target).equals(bytesOf(content)))
})

test.run()
