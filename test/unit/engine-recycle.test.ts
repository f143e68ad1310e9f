// Stores lend buffers that they use again: what the engine gives back it must not read any more.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryDisk, MemoryDiskContent } from '#shared/adapters/memory/disk.ts'
import { MemoryObjectStore } from '#shared/adapters/memory/object-store.ts'
import { KiB } from '#shared/kernel/units.ts'
import type { ObjectStore } from '#shared/ports/object-store.ts'
import { bytesOf, EngineWorld } from '#test/support/engine-world.ts'

const test = suite('engine: recycled buffers')

/** Answers with Buffers, as S3's does, and spoils what is given back. */
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
  // Incompressible and scattered, in small packs, so that each pack is asked for several times.
  const disk = new MemoryDisk(content)
  for (let at = 0; at < 512 * KiB; at += 32 * KiB) disk.write(at, crypto.getRandomValues(new Uint8Array(8 * KiB)))
  const root = await world.backup(content, 's1', { packBytes: 64 * KiB })
  const target = new MemoryDiskContent(512 * KiB)
  const outcome = await world.restoreSlice(target, root, { recycle: (bytes: Uint8Array) => bytes.fill(0xff) })
  assert.is(outcome.state, 'done')
  assert.ok(bytesOf(target).equals(bytesOf(content)))
})

test.run()
