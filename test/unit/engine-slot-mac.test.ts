// A process that opens the repository with another key slot notices a slot that is damaged or planted.

import { generateKeyPairSync } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { RecoveryChoice } from '#shared/ports/mover.ts'
import { openRepository } from '#shared/repository/core/repository.ts'
import { newSlotId, wrapWithPassphrase } from '#shared/repository/format/key-slot.ts'
import { RepositoryKeys } from '#shared/repository/format/repository-keys.ts'
import { MemoryObjectStore } from '#shared/repository/stores/memory/store.ts'
import { access, CHEAP_SCRYPT, EngineWorld } from '#test/support/engine-world.ts'

const test = suite('engine: MAC of key slots')

const publicPem = (type: 'rsa' | 'x25519'): string => {
  const pair = type === 'rsa' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : generateKeyPairSync('x25519')
  return pair.publicKey.export({ type: 'spki', format: 'pem' }).toString()
}

const RECOVERIES: Record<string, RecoveryChoice> = {
  'recovery passphrase': { kind: 'passphrase', passphrase: 'on paper' },
  'RSA recovery key': { kind: 'publicKey', pem: publicPem('rsa') },
  'X25519 recovery key': { kind: 'publicKey', pem: publicPem('x25519') },
}

/** `slot`: the recovery slot's key. */
async function aRepository(recovery: RecoveryChoice | undefined) {
  const store = new MemoryObjectStore()
  const world = new EngineWorld(store)
  const { repositoryId } = await world.repositories.ensure(access, undefined)
  const before = new Set(store.objects.keys())
  await world.repositories.ensure(access, recovery)
  const slot = [...store.objects.keys()].find((key) => !before.has(key)) ?? ''
  return { store, world, repositoryId, slot }
}

for (const [what, recovery] of Object.entries(RECOVERIES)) {
  test(`each byte of a ${what}'s slot that is damaged is found with the password`, async () => {
    const { store, world, slot } = await aRepository(recovery)
    assert.equal((await world.repositories.inspect(access)).damagedSlots, [])
    const { body } = store.objects.get(slot)!
    for (let at = 0; at < body.length; at++) {
      for (const flip of [1, 2, 0x20]) {
        const damaged = Buffer.from(body)
        damaged[at]! ^= flip
        if (isSpace(body[at]!) && isSpace(damaged[at]!)) continue
        store.objects.set(slot, { body: damaged, modifiedMs: 0 })
        const { damagedSlots, recoverySlot } = await world.repositories.inspect(access)
        const where = `byte ${at}, ${JSON.stringify(damaged.toString('latin1', Math.max(0, at - 10), at + 10))}`
        assert.equal(damagedSlots, [slot], where)
        assert.is(recoverySlot, false, where)
      }
    }
  })
}

/** JSON has the same meaning with other spaces between its parts. */
const isSpace = (byte: number): boolean => [0x20, 0x0a, 0x0d, 0x09].includes(byte)

test('a slot that is cut off, empty or too large is reported, and a good one opens the repository all the same', async () => {
  const { store, world, slot } = await aRepository(RECOVERIES['recovery passphrase'])
  const { body } = store.objects.get(slot)!
  for (const damaged of [body.subarray(0, 100), Buffer.alloc(0), Buffer.alloc(20_000, ' ')]) {
    store.objects.set(slot, { body: damaged, modifiedMs: 0 })
    assert.equal((await world.repositories.inspect(access)).damagedSlots, [slot])
  }
})

test('a planted recovery slot is reported, and does not hide that there is no real one', async () => {
  const { store, world, repositoryId } = await aRepository(undefined)
  const slotId = newSlotId(repositoryId)
  const strange = new RepositoryKeys(repositoryId, Buffer.alloc(32, 9))
  const body = await wrapWithPassphrase(slotId, 'recovery-passphrase', 'planted', strange, CHEAP_SCRYPT)
  store.objects.set(`keys/${slotId}`, { body, modifiedMs: 0 })
  const state = await world.repositories.inspect(access)
  assert.equal([state.damagedSlots, state.recoverySlot], [[`keys/${slotId}`], false])
})

test('a slot that was copied under another name is reported', async () => {
  const { store, world, repositoryId, slot } = await aRepository(RECOVERIES['recovery passphrase'])
  const copy = `keys/${newSlotId(repositoryId)}`
  store.objects.set(copy, store.objects.get(slot)!)
  const state = await world.repositories.inspect(access)
  assert.equal([state.damagedSlots, state.recoverySlot], [[copy], true])
})

test('a recovery slot that is damaged is replaced when the recovery key is given again', async () => {
  const recovery = RECOVERIES['recovery passphrase']
  const { store, world, slot } = await aRepository(recovery)
  store.objects.get(slot)!.body[60]! ^= 1
  const state = await world.repositories.ensure(access, recovery)
  assert.is(state.recoverySlot, true)
  assert.equal(state.damagedSlots, [slot])
  assert.ok(await openRepository(store, 'on paper'))
})

test('a slot with damage in its MAC only opens, and is reported', async () => {
  const { store, slot } = await aRepository(RECOVERIES['recovery passphrase'])
  const { body } = store.objects.get(slot)!
  const text = Buffer.from(body)
    .toString('utf8')
    .replace(/"mac": "[0-9a-f]{8}/, '"mac": "00000000')
  store.objects.set(slot, { body: Buffer.from(text), modifiedMs: 0 })
  const opened = await openRepository(store, 'on paper')
  assert.equal(opened?.damagedSlots, [slot])
})

test('values that could pass for others under the same MAC are no values of a slot', async () => {
  const { store, world, slot } = await aRepository(RECOVERIES['X25519 recovery key'])
  const fields = JSON.parse(Buffer.from(store.objects.get(slot)!.body).toString('utf8'))
  const { ephemeral, ...rest } = fields
  const joined = { ...rest, algorithm: `${fields.algorithm}\n${ephemeral}` }
  store.objects.set(slot, { body: Buffer.from(JSON.stringify(joined)), modifiedMs: 0 })
  assert.equal((await world.repositories.inspect(access)).damagedSlots, [slot])
  const other = await aRepository(RECOVERIES['recovery passphrase'])
  const slotFields = JSON.parse(Buffer.from(other.store.objects.get(other.slot)!.body).toString('utf8'))
  const texts = { ...slotFields, scrypt: { ...slotFields.scrypt, N: String(slotFields.scrypt.N) } }
  other.store.objects.set(other.slot, { body: Buffer.from(JSON.stringify(texts)), modifiedMs: 0 })
  assert.equal((await other.world.repositories.inspect(access)).damagedSlots, [other.slot])
})

test.run()
