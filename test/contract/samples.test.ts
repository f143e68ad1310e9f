// The components in config/samples that an overlay can use: kubectl renders them onto the functions.

import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseAllDocuments } from 'yaml'
import { findTools } from '#test/environment/process/tools.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const samples = suite('config/samples')
const OF_BUCKET = ['delete', 'download', 'maintenance', 'repository', 'upload']
const ALL = ['clone', 'delete', 'download', 'maintenance', 'repository', 'snapshot', 'sweep', 'upload']

async function rendered(...names: string[]): Promise<LooseObject[]> {
  const kubectl = (await findTools(['kubectl'], console.error)).get('kubectl')!
  mkdirSync('build', { recursive: true })
  const overlay = mkdtempSync(path.resolve('build/overlay-'))
  try {
    const components = names.map((name) => `../../config/samples/${name}`)
    writeFileSync(
      path.join(overlay, 'kustomization.yaml'),
      JSON.stringify({ kind: 'Kustomization', resources: ['../../config'], components }),
    )
    const text = execFileSync(kubectl, ['kustomize', overlay], { encoding: 'utf8', maxBuffer: 64 << 20 })
    return parseAllDocuments(text).map((document) => document.toJS())
  } finally {
    rmSync(overlay, { recursive: true })
  }
}

/** Names of functions for which `is` is true; checks that each keeps its other settings. */
function functionsWith(objects: LooseObject[], kind: string, is: (object: LooseObject) => boolean): string[] {
  const ours = objects.filter((object) => object.kind === kind && object.metadata.name.startsWith('dormouse-'))
  return ours
    .filter(is)
    .map(({ metadata }) => metadata.name.replace('dormouse-', ''))
    .sort()
}

const mounts = (name: string) => (service: LooseObject) => {
  const { volumes = [], containers } = service['spec'].template.spec
  const isNamed = (each: { name: string }) => each.name === name
  return volumes.some(isNamed) && (containers[0].volumeMounts ?? []).some(isNamed)
}
const dataOf = (objects: LooseObject[]) => objects.find(({ metadata }) => metadata.name === 'dormouse-config')?.['data']

samples('web-identity gives the functions that reach the bucket a role and a token', async () => {
  const objects = await rendered('web-identity')
  const hasRole = ({ metadata }: LooseObject) => metadata.annotations?.['eks.amazonaws.com/role-arn'] !== undefined
  assert.equal(functionsWith(objects, 'ServiceAccount', hasRole), OF_BUCKET)
  assert.equal(functionsWith(objects, 'Service', mounts('aws-token')), OF_BUCKET)
  assert.equal(functionsWith(objects, 'Service', mounts('vddk')), ['download', 'upload'])
  assert.is(dataOf(objects).AWS_WEB_IDENTITY_TOKEN_FILE, '/var/run/secrets/aws/token')
})

samples('company-ca gives all functions the company’s authorities beside the public ones', async () => {
  const objects = await rendered('company-ca')
  assert.equal(functionsWith(objects, 'Service', mounts('company-ca')), ALL)
  assert.equal(functionsWith(objects, 'Service', mounts('vddk')), ['download', 'upload'])
  assert.is(dataOf(objects).SSL_CERT_DIR, '/etc/ssl/certs:/etc/company-ca')
})

samples('folder-store mounts the volume in the functions that open repositories, and gives it to stores', async () => {
  const objects = await rendered('folder-store')
  assert.equal(functionsWith(objects, 'Service', mounts('folder-stores')), OF_BUCKET)
  assert.equal(functionsWith(objects, 'Service', mounts('vddk')), ['download', 'upload'])
  assert.is(dataOf(objects).DORMOUSE_FOLDER_STORES, '/backups')
})

samples.run()
