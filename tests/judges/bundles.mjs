// What @sigstore/verify says of Sigstore bundles that a key signed.
//
// Usage: node bundles.mjs KEY.pem [--tsa CHAIN.pem UNTIL] BUNDLE... ; $KILN_JUDGES has node_modules (see attestations).
// With --tsa a bundle needs a time stamp by the first certificate of CHAIN, and the key is valid until UNTIL (RFC 3339).
// With a verifier key in $KILN_LOG each must be in the log of that key. Prints "accepted" or "refused" and the file's name,
// a line a bundle.
import {createHash, createPublicKey, X509Certificate} from "node:crypto";
import fs from "node:fs";
import {createRequire} from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.env.KILN_JUDGES, "package.json"));
const {bundleFromJSON} = require("@sigstore/bundle");
const {Verifier, toSignedEntity, toTrustMaterial} = require("@sigstore/verify");
let [pem, ...files] = process.argv.slice(2);
let chain, until;
if (files[0] === "--tsa") [, chain, until, ...files] = files;
const key = createPublicKey(fs.readFileSync(pem));

// What a trusted root says of a log with the checkpoints of Rekor v2.
function log(vkey) {
    const [, name, data] = /^([^+]+)\+[0-9a-f]{8}\+(.+)$/.exec(vkey.trim());
    const typed = Buffer.from(data, "base64");
    const id = createHash("sha256").update(name + "\n").update(typed).digest();
    const der = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), typed.subarray(1)]);
    return {baseUrl: "https://" + name, hashAlgorithm: 1, publicKey: {rawBytes: der, keyDetails: 7}, logId: {keyId: id},
        checkpointKeyId: {keyId: id}};
}

const tlogs = process.env.KILN_LOG ? [log(process.env.KILN_LOG)] : [];
const roots = {certificateAuthorities: [], timestampAuthorities: [], tlogs, ctlogs: []};
if (chain) {
    const pems = fs.readFileSync(chain, "utf8").match(/-----BEGIN[^]*?-----END CERTIFICATE-----/g);
    roots.timestampAuthorities.push({certChain: {certificates: pems.map(p => ({rawBytes: new X509Certificate(p).raw}))}});
}
const validFor = time => !until || time < new Date(until);
const verifier = new Verifier(toTrustMaterial(roots, () => ({publicKey: key, validFor})),
    {ctlogThreshold: 0, tlogThreshold: tlogs.length, timestampThreshold: chain ? 1 : 0});

for (const file of files) {
    let word = "accepted";
    try {
        verifier.verify(toSignedEntity(bundleFromJSON(JSON.parse(fs.readFileSync(file, "utf8")))));
    } catch {
        word = "refused";
    }
    console.log(word, path.basename(file));
}
