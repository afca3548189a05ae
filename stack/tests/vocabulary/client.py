# A TLS client: what it was shown, and what was answered. Arguments: port, name, CA file or -, protocols, path.
import hashlib, json, socket, ssl, sys

port, name, authority, protocols, path = sys.argv[1:]
context = ssl.create_default_context(cafile=None if authority == "-" else authority)
if authority == "-":
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
context.set_alpn_protocols(protocols.split(","))
plain = socket.create_connection(("127.0.0.1", int(port)), timeout=20)
with context.wrap_socket(plain, server_hostname=name) as stream:
    shown = stream.getpeercert(binary_form=True)
    said = {"alpn": stream.selected_alpn_protocol(), "version": stream.version(), "pem": ssl.DER_cert_to_PEM_cert(shown)}
    if said["alpn"] == "h2":
        # The preface and an empty SETTINGS frame; the server begins with one of its own (RFC 9113, 3.4).
        stream.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        said["frame"] = stream.recv(9)[3]
    else:
        request = f"GET {path} HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n"
        stream.sendall(request.encode())
        answer = b""
        while chunk := stream.recv(65536):
            answer += chunk
        said["status"] = int(answer.split()[1])
        said["body"] = answer.split(b"\r\n\r\n", 1)[1].decode()
print(json.dumps(said))
