import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MiB } from '#shared/kernel/units.ts'
import { BodyBuffers } from '#shared/repository/stores/s3/body-buffers.ts'

const test = suite('buffers for bodies')

test('what was given back is used again for a body of about its size, and only once', () => {
  const buffers = new BodyBuffers(64 * MiB)
  const first = buffers.take(16 * MiB)
  buffers.giveBack(first)
  buffers.giveBack(first)
  assert.is.not(buffers.take(2 * MiB).buffer, first.buffer)
  const second = buffers.take(15 * MiB)
  assert.is(second.buffer, first.buffer)
  assert.is(second.length, 15 * MiB)
  assert.is.not(buffers.take(15 * MiB).buffer, first.buffer)
})

test('no more is kept than allowed, and nothing that is not ours or was moved away', () => {
  const buffers = new BodyBuffers(4 * MiB)
  const [one, two] = [buffers.take(3 * MiB), buffers.take(3 * MiB)]
  buffers.giveBack(one)
  buffers.giveBack(two)
  assert.is(buffers.take(3 * MiB).buffer, one.buffer)
  assert.is.not(buffers.take(3 * MiB).buffer, two.buffer)
  const foreign = new Uint8Array(MiB)
  buffers.giveBack(foreign)
  assert.is.not(buffers.take(MiB).buffer, foreign.buffer)
  const moved = buffers.take(MiB)
  structuredClone(moved.buffer, { transfer: [moved.buffer as ArrayBuffer] })
  buffers.giveBack(moved)
  assert.is(buffers.take(MiB).length, MiB)
})

test.run()
