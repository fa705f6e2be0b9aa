import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.Principal;
import java.security.PrivateKey;
import java.security.cert.CertPathBuilder;
import java.security.cert.CertPathValidator;
import java.security.cert.CertStore;
import java.security.cert.CertificateFactory;
import java.security.cert.CollectionCertStoreParameters;
import java.security.cert.PKIXBuilderParameters;
import java.security.cert.PKIXParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509CertSelector;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import javax.net.ssl.KeyManager;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509KeyManager;
import javax.net.ssl.X509TrustManager;

/**
 * Says what Java thinks of the chains in FOLDER, as test/_support/crossed-chains.ts writes them, in each of its ways:
 * java VerifyChains.java FOLDER
 */
public class VerifyChains {
  private interface Judgement {
    void pass() throws Exception;
  }

  private static final ExecutorService OTHER_SIDE = Executors.newCachedThreadPool();
  private static Path folder;

  public static void main(String[] arguments) throws Exception {
    folder = Path.of(arguments[0]);
    for (String pair : Files.readAllLines(folder.resolve("pairs"))) {
      String chain = pair.split(" ")[0];
      String bundle = pair.split(" ")[1];
      List<X509Certificate> shown = certificates("chains", chain);
      List<X509Certificate> trusted = certificates("bundles", bundle);
      PrivateKey key = key(chain);
      say("builder", pair, () -> build(shown, trusted));
      say("validator", pair, () -> validateSomePrefix(shown, trusted));
      say("client", pair, () -> handshake(key, shown, trusted, true));
      say("server", pair, () -> handshake(key, shown, trusted, false));
    }
    // Whether a keystore takes the chain has nothing to do with a bundle.
    for (String chain : List.of("old", "new", "new-crossed", "new-crossed-as-istio", "newest-crossed-twice"))
      say("keystore", chain, () -> store(key(chain), certificates("chains", chain)));
    OTHER_SIDE.shutdown();
  }

  private static void say(String way, String what, Judgement judgement) {
    try {
      judgement.pass();
      System.out.println(way + " " + what + " accepts");
    } catch (Exception refusal) {
      Throwable reason = refusal;
      while (reason.getCause() != null) reason = reason.getCause();
      System.out.println(way + " " + what + " refuses: " + String.valueOf(reason).replace('\n', ' '));
    }
  }

  private static void build(List<X509Certificate> shown, List<X509Certificate> trusted) throws Exception {
    X509CertSelector leaf = new X509CertSelector();
    leaf.setCertificate(shown.get(0));
    PKIXBuilderParameters parameters = new PKIXBuilderParameters(anchors(trusted), leaf);
    parameters.setRevocationEnabled(false);
    parameters.addCertStore(CertStore.getInstance("Collection", new CollectionCertStoreParameters(shown)));
    CertPathBuilder.getInstance("PKIX").build(parameters);
  }

  /** The validator takes a path and builds none: so every way to cut the chain off is tried. */
  private static void validateSomePrefix(List<X509Certificate> shown, List<X509Certificate> trusted) throws Exception {
    PKIXParameters parameters = new PKIXParameters(anchors(trusted));
    parameters.setRevocationEnabled(false);
    GeneralSecurityException last = null;
    for (int length = 1; length <= shown.size(); length++) {
      try {
        CertPathValidator.getInstance("PKIX")
            .validate(CertificateFactory.getInstance("X.509").generateCertPath(shown.subList(0, length)), parameters);
        return;
      } catch (GeneralSecurityException refusal) {
        last = refusal;
      }
    }
    throw last;
  }

  /** One side shows the chain; the other judges it by JSSE's own trust manager. */
  private static void handshake(
      PrivateKey key, List<X509Certificate> shown, List<X509Certificate> trusted, boolean clientJudges) throws Exception {
    SSLContext shows = context(new Shown(key, shown), new TakesAll());
    SSLContext judges = context(new Shown(key, shown), judge(trusted));
    SSLContext serves = clientJudges ? shows : judges;
    try (SSLServerSocket listener =
        (SSLServerSocket) serves.getServerSocketFactory().createServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      listener.setNeedClientAuth(!clientJudges);
      Future<?> server = OTHER_SIDE.submit(() -> {
        try (SSLSocket socket = (SSLSocket) listener.accept()) {
          socket.startHandshake();
          socket.getOutputStream().write('.');
        }
        return null;
      });
      IOException clients = null;
      SSLContext asks = clientJudges ? judges : shows;
      try (SSLSocket socket =
          (SSLSocket) asks.getSocketFactory().createSocket(listener.getInetAddress(), listener.getLocalPort())) {
        socket.startHandshake();
        socket.getInputStream().read();
      } catch (IOException refusal) {
        clients = refusal;
      }
      if (!clientJudges) server.get();
      else if (clients != null) throw clients;
    }
  }

  private static void store(PrivateKey key, List<X509Certificate> shown) throws Exception {
    KeyStore store = KeyStore.getInstance("PKCS12");
    store.load(null, null);
    store.setKeyEntry("svid", key, "changeit".toCharArray(), shown.toArray(new X509Certificate[0]));
  }

  private static SSLContext context(KeyManager keys, TrustManager trust) throws Exception {
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(new KeyManager[] {keys}, new TrustManager[] {trust}, null);
    return context;
  }

  private static TrustManager judge(List<X509Certificate> trusted) throws Exception {
    KeyStore store = KeyStore.getInstance("PKCS12");
    store.load(null, null);
    for (X509Certificate root : trusted) store.setCertificateEntry(root.getSubjectX500Principal().getName(), root);
    TrustManagerFactory factory = TrustManagerFactory.getInstance("PKIX");
    factory.init(store);
    return factory.getTrustManagers()[0];
  }

  private static Set<TrustAnchor> anchors(List<X509Certificate> trusted) {
    return trusted.stream().map(root -> new TrustAnchor(root, null)).collect(Collectors.toSet());
  }

  private static List<X509Certificate> certificates(String kind, String name) throws Exception {
    byte[] pem = Files.readAllBytes(folder.resolve(kind).resolve(name + ".pem"));
    List<X509Certificate> all = new ArrayList<>();
    for (var one : CertificateFactory.getInstance("X.509").generateCertificates(new ByteArrayInputStream(pem)))
      all.add((X509Certificate) one);
    return all;
  }

  private static PrivateKey key(String name) throws Exception {
    String base64 = Files.readString(folder.resolve("keys").resolve(name + ".pem")).replaceAll("-----[^-]+-----|\\s", "");
    return KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(base64)));
  }

  /** Shows a chain exactly as it is: a keystore would judge it first. */
  private record Shown(PrivateKey key, List<X509Certificate> chain) implements X509KeyManager {
    @Override
    public String[] getClientAliases(String keyType, Principal[] issuers) {
      return new String[] {"svid"};
    }

    @Override
    public String chooseClientAlias(String[] keyType, Principal[] issuers, Socket socket) {
      return "svid";
    }

    @Override
    public String[] getServerAliases(String keyType, Principal[] issuers) {
      return new String[] {"svid"};
    }

    @Override
    public String chooseServerAlias(String keyType, Principal[] issuers, Socket socket) {
      return "svid";
    }

    @Override
    public X509Certificate[] getCertificateChain(String alias) {
      return chain.toArray(new X509Certificate[0]);
    }

    @Override
    public PrivateKey getPrivateKey(String alias) {
      return key;
    }
  }

  private static class TakesAll implements X509TrustManager {
    @Override
    public void checkClientTrusted(X509Certificate[] chain, String authType) {}

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String authType) {}

    @Override
    public X509Certificate[] getAcceptedIssuers() {
      return new X509Certificate[0];
    }
  }
}
