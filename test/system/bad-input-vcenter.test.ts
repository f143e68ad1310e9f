// Bad input around vCenter and VDDK, each row on the real API: a clear reason where the page says, nothing half-done, and no restart
// after the repair.

import { randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, symlink } from 'node:fs/promises'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { Authority } from '#test/environment/kubernetes/certificates.ts'
import { aSnapshot, backUp, claimRepository, restore, typeOf } from '#test/environment/main-job.ts'
import { PROJECT } from '#test/environment/process/tools.ts'
import { secret, VSPHERE_SECRET } from '#test/environment/seed.ts'
import { noise, sha256, writePieces } from '#test/environment/storage/content.ts'
import type { Volume } from '#test/environment/storage/volume.ts'
import { endOf, retryNow, untilReason, untilTold } from './support/bad-input.ts'

const MIB = 2 ** 20
const CLAIM = { namespace: 'shop', name: 'orders' }

const badVcenter = suite('bad input around vCenter and VDDK')
let environment: Environment
let repository: string
let volume: Volume
let vddk: string

badVcenter.before(async () => {
  vddk = path.join(PROJECT, `build/vddk-${randomUUID()}`)
  environment = await startEnvironment({
    pingEveryMs: { 'dormouse-sweep': 2000 },
    env: { DORMOUSE_DUE_SECONDS: '2' },
    envOf: { upload: { DORMOUSE_VDDK_DIR: vddk } },
  })
  repository = await claimRepository(environment)
  volume = await environment.createVolume({ ...CLAIM, sizeBytes: 8 * MIB })
  await writePieces(volume.file, [{ offsetBytes: 0, data: noise('orders', MIB) }])
})
badVcenter.after(async () => {
  await environment.stop()
  await rm(vddk, { recursive: true, force: true })
})

async function ask(): Promise<string> {
  const name = `snap-${randomUUID()}`
  await environment.api.create(aSnapshot(name, CLAIM, repository))
  return name
}

const applyConfig = async (text: string) =>
  void (await environment.api.apply(secret(VSPHERE_SECRET, { 'csi-vsphere.conf': text })))

/** The Snapshot waits as New with that reason, and vCenter has no disk snapshot; after `mend`, the same Snapshot ends. */
async function assertWaits(reason: string, message: RegExp, mend: () => Promise<void>): Promise<void> {
  const name = await ask()
  const waiting = await untilReason(environment, 'Snapshot', CLAIM.namespace, name, reason)
  assert.is(waiting['status'].phase, 'New')
  assert.match(waiting['status'].message, message)
  assert.equal((await environment.vcenter.disk(volume.fcdId))?.snapshots, [])
  await mend()
  await retryNow(environment, 'Snapshot', CLAIM.namespace, name)
  await untilReason(environment, 'Snapshot', CLAIM.namespace, name, 'VddkNotFound')
  await cancelled(name)
}

/** There is no VDDK yet, so the Upload cannot move anything. Then removes what was taken. */
async function cancelled(name: string): Promise<void> {
  const labels = { 'dormouse.dev/step': 'snapshot' }
  const ref = { ...typeOf('Snapshot'), namespace: CLAIM.namespace, name }
  await environment.api.patch(ref, { spec: { snapshotCancel: true }, metadata: { labels } })
  const end = await endOf(environment, 'Snapshot', CLAIM.namespace, name)
  assert.is(end['status'].phase, 'Canceled', end['status'].message)
  assert.equal((await environment.vcenter.disk(volume.fcdId))?.snapshots, [])
}

badVcenter('a backup waits for an absent vCenter, and is made by the first one that is there', async () => {
  const away = environment.vcenter.configText().replace(/port = "\d+"/, 'port = "1"')
  await applyConfig(away)
  await assertWaits('VCenterUnreachable', /127\.0\.0\.1:1/, () => applyConfig(environment.vcenter.configText()))
})

badVcenter('an untrusted vCenter gets no password', async () => {
  const other = Buffer.from(new Authority().certPem).toString('base64')
  const calls = (await environment.vcenterState()).calls['Login'] ?? 0
  await applyConfig(environment.vcenter.configText().replace(/ca-data = "[^"]*"/, `ca-data = "${other}"`))
  environment.killFunction('dormouse-snapshot', 'SIGTERM')
  await assertWaits('VCenterCertificateUntrusted', /certificate/, async () => {
    assert.is((await environment.vcenterState()).calls['Login'] ?? 0, calls, 'no login was tried')
    await applyConfig(environment.vcenter.configText())
  })
})

badVcenter('a backup waits for a missing configuration; an unreadable one is reported', async () => {
  await environment.api.delete({ apiVersion: 'v1', kind: 'Secret', namespace: 'velero', name: VSPHERE_SECRET })
  environment.killFunction('dormouse-snapshot', 'SIGTERM')
  await assertWaits('SecretMissing', /velero-vsphere-config-secret/, () =>
    applyConfig(environment.vcenter.configText()),
  )
  await applyConfig('[Global]\nnonsense\n')
  environment.killFunction('dormouse-snapshot', 'SIGTERM')
  const end = await endOf(environment, 'Snapshot', CLAIM.namespace, await ask())
  assert.equal([end['status'].phase, end['status'].reason], ['SnapshotFailed', 'VSphereConfigInvalid'])
  await applyConfig(environment.vcenter.configText())
})

badVcenter('row 40: a password that was rotated is read again, without a restart', async () => {
  const { password } = environment.vcenter
  await environment.vcenter.changePassword('rotated-once')
  await environment.vcenter.expireSessions()
  await assertWaits('VCenterLoginFailed', /user|password/, () => applyConfig(environment.vcenter.configText()))
  // The VDDK stand-in knows only the first password.
  await environment.vcenter.changePassword(password)
  await applyConfig(environment.vcenter.configText())
})

badVcenter('a vCenter that is busy is asked again', async () => {
  await environment.vcenter.addFault({ method: 'VslmCreateSnapshot_Task', fault: 'TaskInProgress', times: 1 })
  await assertWaits('VCenterBusy', /./, async () => await environment.vcenter.clearFaults())
})

badVcenter(
  'a node without VDDK, and one with a VDDK that is too old, are named; the right one needs no restart',
  async () => {
    const name = await ask()
    const failed = await untilReason(environment, 'Snapshot', CLAIM.namespace, name, 'VddkNotFound')
    assert.is(failed['status'].phase, 'UploadFailed')
    assert.match(failed['status'].message, /VDDK not found in .*set DORMOUSE_VDDK_DIR/)
    const upload: string = failed['status'].uploadName
    await untilTold(environment, 'Upload', 'velero', upload, 'VddkNotFound')
    const library = path.join(PROJECT, 'build/standins/vddk/lib64/libvixDiskLib.so.8')
    await mkdir(path.join(vddk, 'lib64'), { recursive: true })
    await symlink(library, path.join(vddk, 'lib64/libvixDiskLib.so.5'))
    await retryNow(environment, 'Upload', 'velero', upload)
    const old = await untilReason(environment, 'Snapshot', CLAIM.namespace, name, 'VddkVersionUnsupported')
    await untilTold(environment, 'Upload', 'velero', upload, 'VddkVersionUnsupported')
    assert.match(old['status'].message, /libvixDiskLib\.so\.5.*6\.7/)
    await rename(path.join(vddk, 'lib64'), path.join(vddk, 'old'))
    await symlink(path.dirname(library), path.join(vddk, 'lib64'))
    await retryNow(environment, 'Upload', 'velero', upload)
    const end = await endOf(environment, 'Snapshot', CLAIM.namespace, name)
    assert.is(end['status'].phase, 'Uploaded', end['status'].message)
  },
)

badVcenter('row 53: the log level of VDDK comes from the labelled ConfigMap', async () => {
  await environment.api.apply({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'my-vddk', namespace: 'velero', labels: { 'velero.io/vddk-config': 'vix-disk-lib' } },
    data: { 'vixDiskLib.nfc.LogLevel': '4', 'vixDiskLib.transport.LogLevel': '6' },
  })
  const backup = await backUp(environment, CLAIM, repository)
  const levels = ['vixDiskLib.nfc.LogLevel=4', 'vixDiskLib.transport.LogLevel=6']
  const asAsked = (await vddkConfigs()).filter((config) => levels.every((line) => config.split('\n').includes(line)))
  assert.ok(asAsked.length > 0, 'the file that VDDK was given has both levels')
  const copy = await restore(environment, backup, 'after-all')
  assert.is(await sha256(copy.volume.file), await sha256(volume.file))
})

/** The configuration files that the upload pods have given to VDDK. */
async function vddkConfigs(): Promise<string[]> {
  const pods = path.join(environment.parts.folder, 'functions')
  const files = (await readdir(pods, { recursive: true })).filter((name) => /^dormouse-upload-.*vddk\.conf$/.test(name))
  return await Promise.all(files.map((name) => readFile(path.join(pods, name), 'utf8')))
}

badVcenter.run()
