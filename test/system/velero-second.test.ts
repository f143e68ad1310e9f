// The cluster is lost. A fresh one, with its own vCenter, shares only the bucket, its credentials and the repository's key.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Environment } from '#test/environment/environment.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'
import { CREDENTIALS_SECRET, REPOSITORY_SECRET, secret } from '#test/environment/seed.ts'
import { sha256 } from '#test/environment/storage/content.ts'
import { aLocation } from '#test/environment/storage/location.ts'
import { volumeOf } from '#test/environment/storage/volume.ts'
import { DEFAULT_LOCATION, KEYS_OF_LOCATIONS, VELERO_PREFIX } from '#test/environment/velero/start.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { aFilledVolume, phaseOf, runOf, startWithPlugin } from './support/velero.ts'

const fresh = suite('a fresh cluster')
let first: Environment
let second: Environment
let hash: string

fresh.before(async () => {
  first = await startWithPlugin({ faults: false })
  hash = await sha256((await aFilledVolume(first, 'shop', 'orders')).file)
  await first.velero('backup', 'create', 'nightly', '--include-namespaces', 'shop', '--wait')
  assert.is(await phaseOf(first, 'Backup', 'nightly'), 'Completed')
  second = await startWithPlugin({ faults: false, velero: { reach: [first.s3.shownUrl], env: KEYS_OF_LOCATIONS } })
})
fresh.after(async () => {
  await second?.stop()
  await first.stop()
})

/** What an administrator restores in the new cluster. */
async function bringOver(): Promise<void> {
  const { password, recoveryPassphrase } = first.parts.repositoryKey
  await second.api.apply(secret(CREDENTIALS_SECRET, { cloud: first.s3.credentialsText() }))
  await second.api.apply(secret(REPOSITORY_SECRET, { password, 'recovery-passphrase': recoveryPassphrase }))
  await second.api.apply(aLocation(first.s3, DEFAULT_LOCATION, { prefix: VELERO_PREFIX, default: true }))
  await second.parts.velero?.findBackups()
}

fresh('row 29: a backup of the lost cluster is found there and restored, byte for byte', async () => {
  await bringOver()
  const isKnown = async () => (await runOf(second, 'Backup', 'nightly')) !== undefined
  await until('Velero has found the backup', isKnown, 90_000)
  await second.velero('restore', 'create', 'back', '--from-backup', 'nightly', '--wait')
  const told = await second.velero('restore', 'describe', 'back', '--details')
  assert.is(await phaseOf(second, 'Restore', 'back'), 'Completed', told)
  const copy = await volumeOf(second, 'shop', 'orders')
  assert.is(await sha256(copy.file), hash)
  const disks = (await second.vcenterState()).fcds.map(({ id }) => id)
  assert.equal(disks, [copy.fcdId], 'it is in its own vCenter')
  assert.is((await first.vcenterState()).fcds.length, 1)
})

fresh('the first cluster goes on with its backups beside it', async () => {
  await first.velero('backup', 'create', 'next', '--include-namespaces', 'shop', '--wait')
  assert.is(await phaseOf(first, 'Backup', 'next'), 'Completed')
  const uploads: LooseObject[] = await first.api.list('datamover.cnsdp.vmware.com/v1alpha1', 'Upload', 'velero')
  const sent = uploads.map(({ status }) => status.progress.bytesSent).sort((a, b) => a - b)
  assert.ok(sent[0] < sent[1] / 100, `nothing has changed: ${sent}`)
})

fresh.run()
