// S3 as a kind of store: its rules, for the registry.

import type { StoreParameters, StoreWarning } from '#shared/domain/store-rules.ts'
import type { StoreKind } from '#shared/ports/stores.ts'
import { bucketOf, prefixOf, urlOf } from './parameter-values.ts'
import { parametersFromLocation, parseS3Parameters, referencesOf, type S3Parameters } from './parameters.ts'
import { credentialNotes, toS3Settings } from './secrets.ts'
import { requireS3, type S3Settings } from './settings.ts'

export const s3 = {
  kind: 's3',
  // The Velero Plugin for vSphere's name for it.
  driver: 's3repository.astrolabe.vmware-tanzu.com',
  locations: {
    providers: '"aws" (any S3 store)',
    isProvider: (provider) => /^(velero\.io\/)?aws$/.test(provider),
    parametersFrom: parametersFromLocation,
  },
  parse: (parameters) => neutral(parseS3Parameters(parameters)),
  placeOf: (parameters) => place(placeIn(parameters)),
  placeText: (parameters) => placeText(placeIn(parameters)),
  settingsFrom: (parameters, secrets) => {
    const parsed = parseS3Parameters(parameters)
    return { settings: toS3Settings(parsed, secrets), notes: credentialNotes(parsed, secrets) }
  },
  placeOfSettings: (settings) => place(requireS3(settings)),
} as const satisfies StoreKind

type Place = Pick<S3Settings, 'bucket' | 'prefix' | 'url'>

function placeIn(parameters: Record<string, string>): Place {
  return { bucket: bucketOf(parameters), prefix: prefixOf(parameters), url: urlOf(parameters) }
}

function place({ bucket, prefix, url }: Place): string {
  return JSON.stringify([bucket, prefix, url ?? ''])
}

function placeText({ bucket, prefix, url }: Place): string {
  const folder = prefix === '' ? 'without a prefix' : `prefix ${prefix}`
  return `bucket ${bucket}, ${folder}${url === undefined ? '' : `, at ${url}`}`
}

function neutral(parsed: S3Parameters): StoreParameters {
  const { encryptionSecretName, location } = parsed
  const plaintextCredentials = parsed.plaintextCredentials ? KEYS_IN_PLAIN_TEXT : undefined
  return {
    encryptionSecretName,
    location,
    plaintextCredentials,
    secrets: referencesOf(parsed),
    warnings: [...(plaintextCredentials === undefined ? [] : [plaintextCredentials]), ...otherWarnings(parsed)],
  }
}

const KEYS_IN_PLAIN_TEXT: StoreWarning = {
  text: 'its parameters hold S3 keys in plain text, readable by everyone who may read the object',
  fix: 'name a Secret in credentialSecretName, then change the keys',
}

function otherWarnings(parsed: S3Parameters): StoreWarning[] {
  const warnings: StoreWarning[] = []
  if (parsed.insecureSkipTlsVerify) {
    const text = "the store's certificate is not checked: whoever is in between can pretend to be the store"
    warnings.push({ text, fix: 'put its CA into caCert and take insecureSkipTLSVerify away' })
  }
  if (parsed.unknownKeys.length > 0) {
    const text = `parameters that mean nothing to Dormouse: ${parsed.unknownKeys.join(', ')}`
    warnings.push({ text, fix: 'remove them, or correct their spelling' })
  }
  return warnings
}
