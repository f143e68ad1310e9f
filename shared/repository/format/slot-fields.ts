// The fields of a key slot, as its JSON has them (docs/format/README.md).

export type SlotKind = 'password' | 'recovery-passphrase' | 'recovery-public-key'
export type ScryptCost = { N: number; r: number; p: number }

export type PassphraseSlot = { kind: 'password' | 'recovery-passphrase'; scrypt: ScryptCost & { salt: string } }
export type RsaSlot = { kind: 'recovery-public-key'; algorithm: 'rsa-oaep-sha256' }
export type X25519Slot = { kind: 'recovery-public-key'; algorithm: 'x25519-hkdf-aes-256-gcm'; ephemeral: string }
/** `mac`: see `slot-mac.ts`. A slot without it still opens, but is reported as damaged. */
export type KeySlot = (PassphraseSlot | RsaSlot | X25519Slot) & { wrapped: string; mac?: string | undefined }
