// Locations as they occur in practice, with the real Velero and its AWS plugin: prefixes with any letters, stores that refuse checksums, and
// each field and key that Velero knows.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CONFIG_KEYS, SPEC_FIELDS } from '#shared/repository/stores/s3/location-keys.ts'
import { parametersFromLocation } from '#shared/repository/stores/s3/parameters.ts'
import type { Environment } from '#test/environment/environment.ts'
import type { Call } from '#test/environment/faults/fault-plan.ts'
import { backUp } from '#test/environment/main-job.ts'
import { CREDENTIALS_SECRET, secret } from '#test/environment/seed.ts'
import { sha256 } from '#test/environment/storage/content.ts'
import { aLocation, type LocationWish } from '#test/environment/storage/location.ts'
import { type Volume, volumeOf } from '#test/environment/storage/volume.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { sideBySide } from '#test/support/side-by-side.ts'
import { type Sts, startSts } from '../standins/sts/server.ts'
import { claimWith, untilReady } from './support/repository-claim.ts'
import { aFilledVolume, assertCompleted, startWithPlugin } from './support/velero.ts'

const locations = suite('locations as people have them')
let environment: Environment
let volume: Volume
let folder: string
/** A stand-in. */
let sts: Sts
const ROLE = 'arn:aws:iam::123456789012:role/backups'

locations.before(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'dormouse-locations-'))
  const tokenFile = path.join(folder, 'token')
  await writeFile(tokenFile, 'web.identity')
  sts = await startSts({ region: '', keys: {}, roles: { [ROLE]: { takenBy: ['web.identity'] } } })
  environment = await startWithPlugin({
    movers: 4,
    velero: { flags: { 'concurrent-backups': '3' } },
    env: { AWS_ENDPOINT_URL_STS: sts.url, AWS_WEB_IDENTITY_TOKEN_FILE: tokenFile },
  })
  volume = await aFilledVolume(environment, 'shop', 'orders')
})
locations.after(async () => {
  await environment.stop()
  await sts.stop()
  await rm(folder, { recursive: true })
})

async function locationIn(phase: string, name: string, wish: LocationWish): Promise<LooseObject> {
  await environment.api.apply(aLocation(environment.s3, name, wish))
  const isThere = (location: LooseObject | undefined) => location?.['status']?.phase === phase && told(location) !== ''
  const told = (location: LooseObject) => (phase === 'Unavailable' ? (location['status'].message ?? '') : phase)
  return (await environment.waitFor('BackupStorageLocation', 'velero', name, isThere, 60_000)).object
}

async function assertBacksUpAndRestores(location: string): Promise<void> {
  const into = `back-${location}`
  const options = ['--storage-location', location, '--include-namespaces', 'shop', '--wait']
  await environment.velero('backup', 'create', location, ...options)
  await assertCompleted(environment, 'Backup', location)
  const mapping = ['--namespace-mappings', `shop:${into}`]
  await environment.velero('restore', 'create', into, '--from-backup', location, ...mapping, '--wait')
  await assertCompleted(environment, 'Restore', into)
  assert.is(await sha256((await volumeOf(environment, into, 'orders')).file), await sha256(volume.file))
}

/** Letters beyond ASCII, composed and decomposed, two slashes, a blank and signs; each alone: test/contract/store-s3-prefixes.test.ts. */
const PREFIX = "équipe//a b+c%2F&d=e'(f)/e\u0301te\u0301"

const atOnce = sideBySide(locations)

atOnce(`a location with the prefix ${PREFIX} backs up and restores, beside what Velero itself stores`, async () => {
  await locationIn('Available', 'letters', { prefix: PREFIX })
  await assertBacksUpAndRestores('letters')
  const folder = PREFIX.replace('//', '/')
  const keys = (await environment.s3.objects(`${folder}/`)).map(({ key }) => key)
  for (const own of [`${folder}/backups/letters/velero-backup.json`, `${folder}/plugins/dormouse/config`])
    assert.ok(keys.includes(own), `${own} of ${keys}`)
})

const hasChecksum = ({ headers }: Call) =>
  Object.keys(headers).some((name) => /^x-amz-(checksum|sdk-checksum)/.test(name))

locations(
  'a store that answers 400 to checksums: an empty checksumAlgorithm sends none, without the key there is one fall-back',
  async () => {
    const body = '<?xml version="1.0"?><Error><Code>InvalidArgument</Code><Message>Unsupported header</Message></Error>'
    const headers = { 'content-type': 'application/xml' }
    const { plan } = environment.parts.faults!
    const fussy = plan.add({
      match: /^/,
      server: 's3',
      where: hasChecksum,
      times: Number.POSITIVE_INFINITY,
      fault: { answer: { status: 400, headers, body } },
    })
    try {
      await locationIn('Available', 'plain', { config: { checksumAlgorithm: '' } })
      await assertBacksUpAndRestores('plain')
      assert.is(fussy.hits(), 0, 'no checksum was sent')

      const { checksumAlgorithm: _, ...parameters } = parametersFromLocation(aLocation(environment.s3, 'silent'))
      const claim = await claimWith(environment, { ...parameters, backupStorageLocation: 'plain' })
      await untilReady(environment, claim, (ready) => ready.status === 'True')
      assert.is.not(fussy.hits(), 0, 'a checksum was tried')
    } finally {
      fussy.remove()
    }
  },
)

locations('a location whose key Velero does not know is refused by both, by name', async () => {
  const wish = { config: { checksumalgorithm: '' } }
  const { status } = (await locationIn('Unavailable', 'unknown', wish)) as LooseObject & { status: { message: string } }
  assert.match(status.message, 'checksumalgorithm')
  assert.throws(() => parametersFromLocation(aLocation(environment.s3, 'unknown', wish)), /checksumalgorithm/)
  // The real plugin's error lists all keys that it knows.
  const known = /valid keys are \[([^\]]*)\]/.exec(status.message)?.[1]?.split(' ') ?? []
  assert.equal(known.sort(), Object.keys(CONFIG_KEYS).sort())
})

locations('every field of the real BackupStorageLocation is in the table', async () => {
  const crd = await environment.kubectl('get', 'crd', 'backupstoragelocations.velero.io', '-o', 'json')
  const [version] = JSON.parse(crd).spec.versions
  const { objectStorage, ...fields } = version.schema.openAPIV3Schema.properties.spec.properties
  const inner = Object.keys(objectStorage.properties).map((name) => `objectStorage.${name}`)
  assert.equal([...Object.keys(fields), ...inner].sort(), Object.keys(SPEC_FIELDS).sort())
})

locations(
  'a role that the pod’s web identity takes opens the repository and moves the data, in the functions as they are shipped',
  async () => {
    const { s3 } = environment
    sts.knows.region = s3.region
    sts.gives = { id: s3.accessKeyId, secret: s3.secretAccessKey }
    const tokenFile = path.join(folder, 'token')
    const cloud = `[default]\nrole_arn = ${ROLE}\nweb_identity_token_file = ${tokenFile}\n`
    await environment.api.apply(secret(CREDENTIALS_SECRET, { cloud }))
    const claim = await claimWith(environment, { prefix: 'by-role' })
    const ready = await untilReady(environment, claim, ({ status }) => status === 'True')
    const asked = sts.calls.length
    assert.ok(asked > 0, 'the repository function took the role')
    const { progress } = await backUp(environment, { namespace: 'shop', name: 'orders' }, ready['backupRepository'])
    assert.ok(progress.bytesStored! > 0)
    assert.ok(sts.calls.length > asked, 'the mover took it, too')
    assert.equal(
      [...new Set(sts.calls.map(({ action, by }) => `${action} ${by}`))],
      ['AssumeRoleWithWebIdentity web.identity'],
    )

    const other = cloud.replace(tokenFile, '/etc/hostname')
    await environment.api.apply(secret(CREDENTIALS_SECRET, { cloud: other }))
    const refused = await claimWith(environment, { prefix: 'by-file' })
    await untilReady(environment, refused, ({ reason }) => reason === 'CredentialsInvalid')
  },
)

locations.run()
