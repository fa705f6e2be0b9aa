/** A DER value taken apart without a line of src/x509, and put together again: a second opinion for tests. */
export type Tree =
  | { readonly tag: number; readonly content: Uint8Array }
  | { readonly tag: number; readonly children: readonly Tree[] }

export const primitive = (tag: number, content: Uint8Array | readonly number[]): Tree => ({
  tag,
  content: Uint8Array.from(content),
})

export const constructed = (tag: number, ...children: readonly Tree[]): Tree => ({ tag, children })

/** What is in a constructed value; nothing for what isn't one. */
export function childrenOf(tree: Tree | undefined): readonly Tree[] {
  return tree && 'children' in tree ? tree.children : []
}

/** The bytes of a primitive value; none for what isn't one. */
export function contentOf(tree: Tree | undefined): Uint8Array {
  return tree && 'content' in tree ? tree.content : new Uint8Array()
}

export function treeOf(bytes: Uint8Array): Tree {
  const [tree, ...more] = treesOf(bytes)
  if (!tree || more.length > 0) throw new Error(`${more.length + 1} values where one was expected`)
  return tree
}

function treesOf(bytes: Uint8Array): Tree[] {
  const trees: Tree[] = []
  for (let rest = bytes; rest.length > 0; ) {
    const [tag = 0, first = 0, ...following] = rest.subarray(0, 6)
    const octets = first < 0x80 ? 0 : first & 0x7f
    const length = first < 0x80 ? first : following.slice(0, octets).reduce((sum, octet) => sum * 256 + octet, 0)
    const end = 2 + octets + length
    if (end > rest.length || octets > 4) throw new Error('a value that is longer than its surroundings')
    const content = rest.subarray(2 + octets, end)
    trees.push(tag & 0x20 ? { tag, children: treesOf(content) } : { tag, content: Uint8Array.from(content) })
    rest = rest.subarray(end)
  }
  return trees
}

export function encode(tree: Tree): Buffer {
  const content = 'content' in tree ? Buffer.from(tree.content) : Buffer.concat(tree.children.map(encode))
  return Buffer.concat([Buffer.from([tree.tag]), lengthOctets(content.length), content])
}

/** X.690 §10.1: definite, in the fewest octets. */
function lengthOctets(length: number): Buffer {
  if (length < 128) return Buffer.from([length])
  const hex = length.toString(16)
  const octets = Buffer.from(hex.length % 2 ? `0${hex}` : hex, 'hex')
  return Buffer.concat([Buffer.from([0x80 | octets.length]), octets])
}
