// Removes Dormouse as docs/operations/install.md says, with the page's own commands, on a real API server.

import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import { FINALIZER } from '#shared/domain/step-label.ts'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const uninstall = suite('uninstall')
const run = promisify(execFile)
const HELD = [
  ...['clonefromsnapshot', 'download', 'snapshot', 'upload'].map((name) => `test/fixtures/seed/${name}.yaml`),
  ...['backuprepositoryclaim', 'deletesnapshot'].map((name) => `config/samples/${name}.yaml`),
]

let environment: Environment
uninstall.before(async () => {
  // No function runs that could remove a finalizer, as after a removal of everything at once.
  environment = await startEnvironment({
    knativeCrds: true,
    adapters: false,
    functions: false,
    manifests: { cluster: [], services: [], eventing: [] },
  })
})
uninstall.after(async () => await environment?.stop())

/** Runs the first block of commands below a heading of the page, in a shell whose kubectl is the environment's admin. */
async function runBlock(heading: string): Promise<string> {
  const page = readFileSync('docs/operations/install.md', 'utf8')
  const block = new RegExp(`^### ${heading}\\n[\\s\\S]*?\`\`\`sh\\n([\\s\\S]*?)\`\`\``, 'm').exec(page)?.[1]
  assert.ok(block, `${heading} has commands`)
  const { kubectlProgram } = environment.parts
  const env = { PATH: `${path.dirname(kubectlProgram)}:${process.env['PATH']}`, KUBECONFIG: environment.kubeconfig }
  return (await run('sh', ['-ec', block], { env })).stdout
}

async function crds(): Promise<string[]> {
  const names = (await environment.kubectl('get', 'crd', '-o', 'name')).split('\n')
  return names.filter((name) => name.includes('cnsdp.vmware.com'))
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const limit = AbortSignal.timeout(60_000)
  while (!(await holds())) {
    limit.throwIfAborted()
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
}

/** One field of every existing object. */
async function valuesOf(jsonpath: string): Promise<string[]> {
  const kinds = (await crds()).map((crd) => crd.split('/')[1] ?? '')
  const texts = await Promise.all(
    kinds.map((kind) => environment.kubectl('get', kind, '-A', '-o', `jsonpath={.items[*].${jsonpath}}`)),
  )
  return texts.flatMap((text) => text.split(/\s+/)).filter((text) => text !== '')
}

/** The API server takes its time to delete the objects of a CRD. */
async function allBeingDeleted(): Promise<void> {
  await until(async () => (await valuesOf('metadata.deletionTimestamp')).length === HELD.length)
}

/** With the finalizer, as the function leaves it while it holds something. */
async function createHeld(file: string): Promise<void> {
  const sample = parse(readFileSync(file, 'utf8')) as LooseObject
  const { namespace = '' } = sample.metadata
  await environment.createNamespace(namespace)
  await environment.api.create({ ...sample, metadata: { ...sample.metadata, finalizers: [FINALIZER] } })
}

uninstall(
  'CRDs and functions removed at once hang on held objects; the commands of the page release them',
  async () => {
    await environment.kubectl('apply', '-k', 'config')
    await environment.kubectl('wait', '--for=condition=Established', ...(await crds()))
    for (const file of HELD) await createHeld(file)
    const atOnce = await environment.kubectl('delete', '-k', 'config', '--timeout=3s').then(
      () => 'it is gone',
      (error: unknown) => String(error),
    )
    assert.match(atOnce, 'timed out waiting')
    // Each CRD waits for its object; CRDs without one are gone as soon as the API server gets to it.
    await until(async () => (await crds()).length === HELD.length)
    await allBeingDeleted()
    await runBlock('When it hangs')
    await until(async () => (await crds()).length === 0)
  },
)

uninstall('what is not being deleted keeps its finalizer', async () => {
  await environment.kubectl('apply', '-k', 'config/crd')
  await environment.kubectl('wait', '--for=condition=Established', ...(await crds()))
  for (const file of HELD) await createHeld(file)
  await runBlock('When it hangs')
  assert.is((await valuesOf('metadata.finalizers[*]')).length, HELD.length)
})

uninstall.run()
